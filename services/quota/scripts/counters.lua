-- The counters of key, user and organisation in a month: each hash is read once a call, changed in a
-- table and written once, so that all items of a call see each other. Joined behind ledger.lua.
--
-- A table of counters holds what the call adds, in the order of the fields: 1 running requests,
-- 2 nano-USD held, 3 forgiven (nothing), 4 spent, 5 requests, 6 input and 7 output tokens, 8 the
-- rate (nothing), 9 cached and 10 reasoning tokens, 11 nano-USD of fail-open. `old` is what was
-- read: the first `last` of them.

local ADMITTED, SETTLED, ALL = 4, 8, 11
local counted_month, fields, sheets = nil, nil, {}
local values = {nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil}  -- room for six fields

-- Adds deltas[first..last] to the fields so named, of which `old` was read, with one write. What
-- does not fit into a double is added by the KV itself.
local function change(key, names, old, deltas, first, last)
  local count, EXACT = 0, 4503599627370496
  for n = first, last do
    local delta = deltas[n]
    if delta ~= 0 then
      local before = (old[n - first + 1] or 0) + 0
      local after = before + delta
      if before < EXACT and before > -EXACT and after < EXACT and after > -EXACT then
        values[count + 1], values[count + 2] = names[n], after
        count = count + 2
      else
        call('HINCRBY', key, names[n], int(delta))
      end
    end
  end
  if count > 0 then call('HSET', key, unpack(values, 1, count)) end
end

-- Writes what was counted.
local function write()
  for key, s in pairs(sheets) do change(key, fields, s.old, s, 1, s.last) end
  sheets = {}
end

-- From here on it is `month` that is counted: what was counted in another is written before.
local function turn_to(month)
  if counted_month == month then return end
  if counted_month then write() end
  counted_month, fields = month, {'running', month .. ':held', month .. ':reset',
    month .. ':spent', month .. ':requests', month .. ':input_tokens', month .. ':output_tokens',
    'rate:tokens', month .. ':cached_input_tokens', month .. ':reasoning_output_tokens',
    month .. ':grace'}
end

-- The counters at `key`; the same table for the whole call.
local function counters(key)
  local found = sheets[key]
  if not found then
    found = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, old = nil, last = 0, free = 0, user = nil}
    sheets[key] = found
  end
  return found
end

-- Nano-USD spent since the last reset and held, running requests: with what the call adds.
local function standing(s)
  local old = s.old
  return (old[4] or 0) - (old[3] or 0) + s[4], (old[2] or 0) + s[2], (old[1] or 0) + s[1]
end
