-- What the scripts of the ledger share. Joined behind clock.lua and in front of each of them.
--
-- Money is whole nano-USD below 2^53, exact in Lua's doubles; inside texts it is written by %.0f,
-- because tostring() would write 9.007199254741e+15. Changes of counters gather in `pending` and are
-- written once a batch by flush(); `scope` shows them to the items behind, as if written. A hold and
-- an entry of the journal are one text each: a dozen fields cost the KV twice as much.

local SCOPES = {'key', 'user', 'org'}
local MINUTE = 60000
local NOTHING = '0 0 0 0 0 0 0 0'

local function int(x)
  return string.format('%.0f', x + 0)  -- of -0, + 0 makes 0
end

local COUNTS = '^' .. string.rep('(%-?%d+) ', 7) .. '(%-?%d+)$'

-- Token counts as they are kept, in the order told in settle.lua: texts to reckon with.
local function numbers(tokens)
  return {string.match(tokens, COUNTS)}
end

-- Year, month, day of Unix milliseconds (civil from days; the sandbox has no os.date).
local function civil(ms)
  local z = math.floor(ms / 86400000) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor(
    (doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return year, month, doy - math.floor((153 * mp + 2) / 5) + 1
end

local days = {}

local function day_of(ms)
  local number = math.floor(ms / 86400000)
  local day = days[number]
  if not day then
    day = string.format('%04d-%02d-%02d', civil(ms))
    days[number] = day
  end
  return day
end

-- The month that pays now, never before one this organisation has begun; and the one begun last.
local function paying_month(org_quota, now)
  local month = string.sub(day_of(now), 1, 7)
  local begun = redis.call('HGET', org_quota, 'month')
  if begun and begun > month then return begun, begun end
  return month, begun
end

local configs, scopes, pending, buckets = {}, {}, {}, {}

-- The configuration at `key`; the same table for the whole batch.
local function config(key)
  local found = configs[key]
  if not found then
    local v = redis.call('HMGET', key, 'status', 'limit', 'models', 'rpm', 'tpm', 'concurrency',
      'expires', 'last_used', 'revision')
    found = {status = v[1], limit = tonumber(v[2] or nil), models = v[3] or '',
      rpm = tonumber(v[4] or nil), tpm = tonumber(v[5] or nil),
      concurrency = tonumber(v[6] or nil), expires = tonumber(v[7] or nil),
      last_used = tonumber(v[8] or 0), revision = tonumber(v[9] or 0)}
    configs[key] = found
  end
  return found
end

-- The counters at `key` that decide about money of `month`; the same table for the whole batch.
local function scope(key, month)
  local name = month .. key
  local found = scopes[name]
  if not found then
    local v = redis.call('HMGET', key, month .. ':spent', month .. ':held', month .. ':reset',
      'running', 'rate:requests', 'rate:tokens')
    found = {spent = tonumber(v[1] or 0) - tonumber(v[3] or 0), held = tonumber(v[2] or 0),
      running = tonumber(v[4] or 0), requests = v[5], tokens = v[6]}
    scopes[name] = found
  end
  return found
end

local function add(key, field, delta)
  local fields = pending[key]
  if not fields then
    fields = {}
    pending[key] = fields
  end
  fields[field] = (fields[field] or 0) + delta
end

-- `born` is told each field that was not there before.
local function flush(born)
  for key, fields in pairs(pending) do
    for field, delta in pairs(fields) do
      if delta ~= 0 and redis.call('HINCRBY', key, field, int(delta)) == delta and born then
        born(key, field)
      end
    end
  end
  for key, states in pairs(buckets) do
    for kind, state in pairs(states) do redis.call('HSET', key, kind, state) end
  end
end

-- A new state of a rate's bucket; written by flush().
local function fill(key, kind, state)
  local states = buckets[key]
  if not states then
    states = {}
    buckets[key] = states
  end
  states[kind] = state
end

local ENTRY = '^' .. string.rep('([^\t]*)\t', 13) .. '(.*)$'

-- Appends an entry, as services/quota/entries.py reads it.
local function journal(key, kind, id, user, api_key, month, model, operation, spent, held, requests,
    tokens, flags, request, reason)
  redis.call('XADD', key, '*', 'e', kind .. '\t' .. id .. '\t' .. user .. '\t' .. api_key .. '\t'
    .. month .. '\t' .. model .. '\t' .. operation .. '\t' .. int(spent) .. '\t' .. int(held)
    .. '\t' .. requests .. '\t' .. tokens .. '\t' .. flags .. '\t' .. request .. '\t' .. reason)
end

local HOLD = '^' .. string.rep('([^\t]*)\t', 14) .. '(.*)$'

-- The reservation at `key`; nil where there is none.
local function read(key)
  local text = redis.call('GET', key)
  if not text then return nil end
  local h = {}
  h.state, h.fingerprint, h.user, h.key, h.month, h.admit, h.held, h.out, h.charged, h.cost,
    h.tokens, h.rated, h.model, h.operation, h.request = string.match(text, HOLD)
  h.admit, h.held, h.out = tonumber(h.admit), tonumber(h.held), tonumber(h.out)
  h.charged, h.cost, h.rated = tonumber(h.charged), tonumber(h.cost), tonumber(h.rated)
  return h
end

-- A reservation as it is kept.
local function written(h)
  return h.state .. '\t' .. h.fingerprint .. '\t' .. h.user .. '\t' .. h.key .. '\t' .. h.month
    .. '\t' .. h.admit .. '\t' .. int(h.held) .. '\t' .. int(h.out) .. '\t' .. int(h.charged)
    .. '\t' .. int(h.cost) .. '\t' .. h.tokens .. '\t' .. int(h.rated) .. '\t' .. h.model .. '\t'
    .. h.operation .. '\t' .. h.request
end

-- Nano-USD of a request with n output tokens: fixed and price are nano-USD with a rest in pico-USD.
local function cost(p, n)
  return p.fixed + n * p.price + math.ceil((p.fixed_rest + n * p.price_rest) / 1000)
end

-- The largest n <= want whose cost is at most `left`; -1 when not even n = 0 is.
local function largest(p, left, want)
  if cost(p, 0) > left then return -1 end
  if cost(p, want) <= left then return want end
  local n = math.floor((left - p.fixed) / (p.price + p.price_rest / 1000))
  n = math.max(0, math.min(n, want))
  while n > 0 and cost(p, n) > left do n = n - 1 end
  while n < want and cost(p, n + 1) <= left do n = n + 1 end
  return n
end

-- Why key, user or organisation may not spend: reason and scope; nil when they may.
local function barred(configured, now)
  local key, user, org = configured[1], configured[2], configured[3]
  if key.status ~= 'active' or (key.expires and key.expires <= now) or not user.status
    or not org.status then
    return 'API_KEY_INVALID', 'key'
  end
  if user.status ~= 'active' then return 'SUSPENDED', 'user' end
  if org.status ~= 'active' then return 'SUSPENDED', 'org' end
end

-- What all limits leave. `asked` decides who refuses, where it does not fit: BUDGET_EXHAUSTED (it
-- would not fit with nothing held by others, either) outranks BUDGET_HELD. `own` is what the
-- request itself holds already. Answers with the money left, the reason and the scope's number.
local function money(configured, counted, asked, own)
  local left, reason, at = math.huge, nil, 0
  for i = 1, 3 do
    local limit, s = configured[i].limit, counted[i]
    if limit then
      left = math.min(left, limit - s.spent - s.held + own)
      if s.spent + s.held - own + asked > limit then
        local exhausted = s.spent + asked > limit
        if not reason or (exhausted and reason == 'BUDGET_HELD') then
          reason, at = exhausted and 'BUDGET_EXHAUSTED' or 'BUDGET_HELD', i
        end
      end
    end
  end
  return left, reason, at
end
