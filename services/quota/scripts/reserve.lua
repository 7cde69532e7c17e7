-- reserve: hold the most that each request can cost, if key, user and organisation allow it.
--
-- KEYS  1 org config   2 org quota   3 holds   4 journal
--       then for each item: user config, user quota, key config, key quota, hold
-- ARGV  1 lease, ms   2 largest difference to the caller's clock, ms
--       then for each item: 1 id  2 fingerprint  3 user  4 key  5 model  6 model as named by the
--       client  7 operation  8 request id  9 caller's clock, ms  10 output tokens  11 fewest output
--       tokens  12 fixed cost, nano-USD  13 its rest, pico-USD  14 price of an output token,
--       nano-USD  15 its rest, pico-USD  16 tokens that count for the rate  17 tokens charged if
--       nothing more is heard
-- Answers for each item:
--   {'GRANT', held, output tokens, month, admitted ms, duplicate, state, revision, rates...}
--   {'REFUSE', reason, scope, limit, spent, held, running, affordable, month, retry ms, rate kind,
--    rate limit, revision, rates...}
--   where rates are limit, remaining, ms to reset of requests, then of tokens; limit -1: none.

local PER_KEY, PER_ARG = 5, 17
local now = clock()
local month, begun = paying_month(KEYS[2], now)
local lease, skew = tonumber(ARGV[1]), tonumber(ARGV[2])

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
          redis.call('HSET', keys[i], 'rate:' .. kind, counted[i][kind])
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
  if old[2] ~= fingerprint then return refuse(revision, nil, 'IDEMPOTENCY_CONFLICT', '', {}) end
  return answer(revision, NO_RATES, 'GRANT', tonumber(old[3] or 0), tonumber(old[4] or 0), old[5],
    tonumber(old[6] or 0), 1, old[1])
end

local function hold(k, a, granted, held, p)
  local id, user, key = ARGV[a + 1], ARGV[a + 3], ARGV[a + 4]
  local floor = p.fixed + (p.fixed_rest > 0 and 1 or 0)
  redis.call('HSET', KEYS[k + 5], 'state', 'reserved', 'fp', ARGV[a + 2], 'user', user, 'key', key,
    'model', ARGV[a + 5], 'op', ARGV[a + 7], 'request', ARGV[a + 8], 'month', month,
    'admit', int(now), 'held', int(held), 'out', int(granted), 'cost', int(floor),
    'tokens', ARGV[a + 17], 'rated', ARGV[a + 16])
  redis.call('ZADD', KEYS[3], int(now + lease), id .. ' ' .. user .. ' ' .. key)
  journal(KEYS[4], {kind = 'reserve', id = id, user = user, key = key, month = month,
    model = ARGV[a + 5], operation = ARGV[a + 7], spent = 0, held = held, requests = 0,
    tokens = '', flags = '', request = ARGV[a + 8]})
end

local function reserve(k, a)
  local revision = config(KEYS[1]).revision
  local old = redis.call('HMGET', KEYS[k + 5], 'state', 'fp', 'held', 'out', 'month', 'admit')
  if old[1] then return duplicate(old, ARGV[a + 2], revision) end
  if math.abs(now - tonumber(ARGV[a + 9])) > skew then
    return refuse(revision, nil, 'CLOCK_SKEW', '', {})
  end
  if begun ~= month then  -- two clocks agree: no single one that is wrong begins a month
    redis.call('HSET', KEYS[2], 'month', month)
    begun = month
  end
  local configured = {config(KEYS[k + 3]), config(KEYS[k + 1]), config(KEYS[1])}
  local reason, name = barred(configured, now)
  if reason then return refuse(revision, nil, reason, name, {}) end
  for i = 1, 3 do
    if not allowed(configured[i].models, ARGV[a + 5], ARGV[a + 6]) then
      return refuse(revision, nil, 'MODEL_NOT_FOUND', SCOPES[i], {})
    end
  end
  local keys = {KEYS[k + 4], KEYS[k + 2], KEYS[2]}
  local counted = {scope(keys[1], month), scope(keys[2], month), scope(keys[3], month)}
  local p = {fixed = tonumber(ARGV[a + 12]), fixed_rest = tonumber(ARGV[a + 13]),
    price = tonumber(ARGV[a + 14]), price_rest = tonumber(ARGV[a + 15])}
  local asked = {1, tonumber(ARGV[a + 16])}
  local least = tonumber(ARGV[a + 11])
  local left, short, at = money(configured, counted, cost(p, least), 0)
  local granted = largest(p, left, tonumber(ARGV[a + 10]))
  local tightest, limited = rates(configured, counted, keys, asked, false)
  if short then
    local s = counted[at]
    return refuse(revision, tightest, short, SCOPES[at], {limit = configured[at].limit,
      spent = s.spent, held = s.held, running = s.running, affordable = math.max(granted, 0)})
  end
  if limited then
    return refuse(revision, tightest, limited[1], limited[2],
      {retry = limited[3], kind = limited[4], rate = limited[5]})
  end
  tightest = rates(configured, counted, keys, asked, true)
  local held = cost(p, granted)
  for i = 1, 3 do
    counted[i].held, counted[i].running = counted[i].held + held, counted[i].running + 1
    add(keys[i], month .. ':held', held)
    add(keys[i], 'running', 1)
  end
  local used = math.floor(now / MINUTE) * MINUTE
  if configured[1].last_used < used then
    configured[1].last_used = used
    redis.call('HSET', KEYS[k + 3], 'last_used', int(used))
  end
  hold(k, a, granted, held, p)
  return answer(revision, tightest, 'GRANT', held, granted, month, now, 0, 'reserved')
end

local replies = {}
for n = 0, (#KEYS - 4) / PER_KEY - 1 do
  replies[n + 1] = reserve(4 + n * PER_KEY, 2 + n * PER_ARG)
end
flush()
return replies
