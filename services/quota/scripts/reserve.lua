-- reserve: hold the most that each request can cost, if key, user and organisation allow it.
--
-- KEYS  1 org config   2 org quota   3 holds   4 journal
--       then for each owner: user config, user quota, key config, key quota
--       then for each item: hold
-- ARGV  1 lease, ms   2 largest difference to the caller's clock, ms   3 number of owners
--       then for each owner: user, key
--       then for each item: 1 id  2 fingerprint  3 owner, from 1  4 model  5 model as named by the
--       client  6 operation  7 request id  8 caller's clock, ms  9 output tokens  10 fewest output
--       tokens  11 fixed cost, nano-USD  12 its rest, pico-USD  13 price of an output token,
--       nano-USD  14 its rest, pico-USD  15 tokens that count for the rate  16 tokens charged if
--       nothing more is heard
-- Answers for each item:
--   {'GRANT', held, output tokens, month, admitted ms, duplicate, state, revision, rates...}; no
--   rates where none is configured
--   {'REFUSE', reason, scope, limit, spent, held, running, affordable, month, retry ms, rate kind,
--    rate limit, revision, rates...}
--   where rates are limit, remaining, ms to reset of requests, then of tokens; limit -1: none.

local PER_OWNER, PER_ARG = 4, 16
local now = clock()
local month, begun = paying_month(KEYS[2], now)
local lease, skew = tonumber(ARGV[1]), tonumber(ARGV[2])
local owners, held_field = {}, month .. ':held'

-- Who pays: names, configurations and counters of key, user and organisation, read once a batch.
local function owner(number)
  local found = owners[number]
  if not found then
    local k, a = 4 + (number - 1) * PER_OWNER, 3 + (number - 1) * 2
    local configured = {config(KEYS[k + 3]), config(KEYS[k + 1]), config(KEYS[1])}
    local keys = {KEYS[k + 4], KEYS[k + 2], KEYS[2]}
    found = {user = ARGV[a + 1], key = ARGV[a + 2], config = KEYS[k + 3], keys = keys,
      configured = configured,
      counted = {scope(keys[1], month), scope(keys[2], month), scope(keys[3], month)}}
    found.reason, found.scope = barred(configured, now)
    for i = 1, 3 do
      local c = configured[i]
      found.rated = found.rated or c.rpm or c.tpm or c.concurrency
    end
    owners[number] = found
  end
  return found
end

-- Whether `name` matches `pattern`, where only * is special: each literal piece is found as early
-- as possible, the last one at the end.
local function matches(pattern, name)
  local first, rest = string.match(pattern, '^([^*]*)%*(.*)$')
  if not first then return pattern == name end
  if string.sub(name, 1, #first) ~= first then return false end
  local at = #first + 1
  while true do
    local piece, more = string.match(rest, '^([^*]*)%*(.*)$')
    if not piece then break end
    local _, stop = string.find(name, piece, at, true)
    if not stop then return false end
    at, rest = stop + 1, more
  end
  return #name - #rest + 1 >= at and string.sub(name, #name - #rest + 1) == rest
end

local function allowed(models, model, named)
  if models == '' then return true end
  for pattern in string.gmatch(models, '%S+') do
    if matches(pattern, model) or matches(pattern, named) then return true end
  end
  return false
end

-- A rate is a bucket that leaks `limit` units a minute and holds as many. It is kept as
-- 'used at', used in sixty-thousandths of a unit, so that all of it is whole numbers.
local function leaked(state, limit)
  local used, at = 0, now
  if state then
    local u, t = string.match(state, '^(%d+) (%d+)$')
    used, at = tonumber(u), math.max(now, tonumber(t))
    used = math.max(0, used - math.max(0, now - tonumber(t)) * limit)
  end
  return used, at
end

-- ms to wait until `asked` units fit; 0: they fit; nil: they never do. What is larger than the
-- bucket waits for an empty one.
local function wait(used, limit, asked)
  if limit <= 0 then return nil end
  local over = used + math.min(asked, limit) * MINUTE - limit * MINUTE
  return over > 0 and math.ceil(over / limit) or 0
end

local RATES = {{'requests', 'rpm'}, {'tokens', 'tpm'}}

-- Counts `asked` where `count`; answers with the tightest of each rate and the first refusal.
local function rates(configured, counted, keys, asked, count)
  local tightest, refusal = {-1, 0, 0, -1, 0, 0}, nil
  for i = 1, 3 do
    for r = 1, 2 do
      local kind, limit = RATES[r][1], configured[i][RATES[r][2]]
      if limit then
        local used, at = leaked(counted[i][kind], limit)
        local ms = wait(used, limit, asked[r])
        if ms ~= 0 and not refusal then
          refusal = {'RATE_LIMITED', SCOPES[i], ms or 0, kind, limit}
        end
        if count then
          used = used + asked[r] * MINUTE
          counted[i][kind] = int(used) .. ' ' .. int(at)
          fill(keys[i], 'rate:' .. kind, counted[i][kind])
        end
        local left = math.max(0, math.floor((limit * MINUTE - used) / MINUTE))
        local o = r * 3 - 3
        if tightest[o + 1] < 0 or left < tightest[o + 2] then
          tightest[o + 1], tightest[o + 2] = limit, left
          tightest[o + 3] = limit > 0 and math.ceil(used / limit) or 0
        end
      end
    end
    local most = configured[i].concurrency
    if most and counted[i].running >= most and not refusal then
      refusal = {'RATE_LIMITED', SCOPES[i], most > 0 and 1000 or 0, 'concurrency', most}
    end
  end
  return tightest, refusal
end

local function answer(revision, tightest, ...)
  local reply = {...}
  reply[#reply + 1] = revision
  for i = 1, 6 do reply[#reply + 1] = tightest[i] end
  return reply
end

local NO_RATES = {-1, 0, 0, -1, 0, 0}

local function refuse(revision, tightest, reason, name, at)
  return answer(revision, tightest or NO_RATES, 'REFUSE', reason, name, at.limit or 0,
    at.spent or 0, at.held or 0, at.running or 0, at.affordable or 0, month, at.retry or 0,
    at.kind or '', at.rate or 0)
end

local function duplicate(old, fingerprint, revision)
  if old.fingerprint ~= fingerprint then
    return refuse(revision, nil, 'IDEMPOTENCY_CONFLICT', '', {})
  end
  return {'GRANT', old.held, old.out, old.month, old.admit, 1, old.state, revision}
end

local leases = {}

local function hold(key, a, o, granted, held, p)
  local id, model, operation, request = ARGV[a + 1], ARGV[a + 4], ARGV[a + 6], ARGV[a + 7]
  redis.call('SET', key, written({state = 'reserved', fingerprint = ARGV[a + 2], user = o.user,
    key = o.key, month = month, admit = now, held = held, out = granted, charged = 0,
    cost = p.fixed + (p.fixed_rest > 0 and 1 or 0), tokens = ARGV[a + 16], rated = ARGV[a + 15],
    model = model, operation = operation, request = request}))
  leases[#leases + 1] = now + lease
  leases[#leases + 1] = id .. ' ' .. o.user .. ' ' .. o.key
  journal(KEYS[4], 'reserve', id, o.user, o.key, month, model, operation, 0, held, 0, '', '',
    request, '')
end

local function reserve(key, a)
  local revision = config(KEYS[1]).revision
  local old = read(key)
  if old then return duplicate(old, ARGV[a + 2], revision) end
  if math.abs(now - tonumber(ARGV[a + 8])) > skew then
    return refuse(revision, nil, 'CLOCK_SKEW', '', {})
  end
  if begun ~= month then  -- two clocks agree: no single one that is wrong begins a month
    redis.call('HSET', KEYS[2], 'month', month)
    begun = month
  end
  local o = owner(tonumber(ARGV[a + 3]))
  if o.reason then return refuse(revision, nil, o.reason, o.scope, {}) end
  local keys, configured, counted = o.keys, o.configured, o.counted
  for i = 1, 3 do
    if not allowed(configured[i].models, ARGV[a + 4], ARGV[a + 5]) then
      return refuse(revision, nil, 'MODEL_NOT_FOUND', SCOPES[i], {})
    end
  end
  local p = {fixed = tonumber(ARGV[a + 11]), fixed_rest = tonumber(ARGV[a + 12]),
    price = tonumber(ARGV[a + 13]), price_rest = tonumber(ARGV[a + 14])}
  local asked = {1, tonumber(ARGV[a + 15])}
  local left, short, at = money(configured, counted, cost(p, tonumber(ARGV[a + 10])), 0)
  local granted = largest(p, left, tonumber(ARGV[a + 9]))
  local tightest, limited
  if o.rated then tightest, limited = rates(configured, counted, keys, asked, false) end
  if short then
    local s = counted[at]
    return refuse(revision, tightest, short, SCOPES[at], {limit = configured[at].limit,
      spent = s.spent, held = s.held, running = s.running, affordable = math.max(granted, 0)})
  end
  if limited then
    return refuse(revision, tightest, limited[1], limited[2],
      {retry = limited[3], kind = limited[4], rate = limited[5]})
  end
  if o.rated then tightest = rates(configured, counted, keys, asked, true) end
  local held = cost(p, granted)
  for i = 1, 3 do
    counted[i].held, counted[i].running = counted[i].held + held, counted[i].running + 1
    add(keys[i], held_field, held)
    add(keys[i], 'running', 1)
  end
  local used = math.floor(now / MINUTE) * MINUTE
  if configured[1].last_used < used then
    configured[1].last_used = used
    redis.call('HSET', o.config, 'last_used', used)
  end
  hold(key, a, o, granted, held, p)
  if o.rated then
    return answer(revision, tightest, 'GRANT', held, granted, month, now, 0, 'reserved')
  end
  return {'GRANT', held, granted, month, now, 0, 'reserved', revision}
end

local replies, count = {}, tonumber(ARGV[3])
local first_key, first_arg = 4 + count * PER_OWNER, 3 + count * 2
for n = 1, #KEYS - first_key do
  replies[n] = reserve(KEYS[first_key + n], first_arg + (n - 1) * PER_ARG)
end
if #leases > 0 then redis.call('ZADD', KEYS[3], unpack(leases)) end
flush()
return replies
