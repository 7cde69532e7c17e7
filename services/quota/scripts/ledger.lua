-- What the scripts of the ledger share. Joined behind clock.lua and in front of each of them.
--
-- Money is whole nano-USD below 2^53, exact in Lua's doubles; inside texts it is written by int(),
-- because tostring() would write 9.007199254741e+15. As arguments of a command whole numbers below
-- 2^52 are written as such by every server, and faster. Counters change in tables and are written once a
-- batch, each key with one read and one write. What costs the KV most is the number of commands, of
-- arguments and of texts made: so a hold and an entry of the journal are one text each, all items of
-- a call one packed argument (numbers as doubles, texts with a zero behind), all holds read at once.

local call, match, format, unpacked = redis.call, string.match, string.format, struct.unpack
local NOTHING = '0 0 0 0 0 0 0 0'
local MINUTE = 60000

local function int(x)
  if x < 2147483648 and x > -2147483648 then return format('%d', x) end  -- at half the price
  return format('%.0f', x)
end

local days = {}

-- The day of Unix milliseconds, as 2026-11-25 (civil from days; the sandbox has no os.date).
local function day_of(ms)
  local floor = math.floor
  local number = floor(ms / 86400000)
  local day = days[number]
  if not day then
    local z = floor(ms / 86400000) + 719468
    local era = floor(z / 146097)
    local doe = z - era * 146097
    local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
    local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
    local mp = floor((5 * doy + 2) / 153)
    local month = mp < 10 and mp + 3 or mp - 9
    local year = yoe + era * 400 + (month <= 2 and 1 or 0)
    day = format('%04d-%02d-%02d', year, month, doy - floor((153 * mp + 2) / 5) + 1)
    days[number] = day
  end
  return day
end

-- Appends an entry, as services/quota/entries.py reads it. `owner` is user and key as in a hold;
-- spent and held are whole numbers as texts.
local function journal(key, kind, id, owner, month, model, operation, spent, held, requests, tokens,
    flags, request, reason)
  call('XADD', key, '*', 'e', kind .. '\t' .. id .. '\t' .. owner .. '\t' .. month .. '\t' .. model
    .. '\t' .. operation .. '\t' .. spent .. '\t' .. held .. '\t' .. requests .. '\t' .. tokens
    .. '\t' .. flags .. '\t' .. request .. '\t' .. reason)
end

-- A reservation as it is kept, fields between tabs: state; head (fingerprint, user, key, month,
-- admitted ms); held; output tokens; charged; cost so far; tokens; tail (tokens that count for the
-- rate, model, operation, request id).
local function written(state, head, held, out, charged, cost, tokens, tail)
  return state .. '\t' .. head .. '\t' .. held .. '\t' .. out .. '\t' .. charged .. '\t' .. cost
    .. '\t' .. tokens .. '\t' .. tail
end

local HOLD = '^([^\t]*)\t(([^\t]*)\t([^\t]*\t[^\t]*)\t([^\t]*)\t([^\t]*))\t([^\t]*)\t'
  .. '([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t(([^\t]*)\t.*)$'

-- A reservation from its text, in texts; what it holds as a number, too.
local function read(text)
  local state, head, fingerprint, owner, month, admit, held, out, charged, cost, tokens, tail, rated
    = match(text, HOLD)
  return {state = state, head = head, fingerprint = fingerprint, owner = owner, month = month,
    admit = admit, held = held + 0, held_text = held, out = out, charged = charged, cost = cost,
    tokens = tokens, tail = tail, rated = rated}
end

-- Model, operation and request id of a reservation, from its tail.
local function described(tail)
  return match(tail, '^[^\t]*\t([^\t]*)\t([^\t]*)\t(.*)$')
end
