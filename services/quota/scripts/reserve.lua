-- reserve: hold the most that each request can cost, if key, user and organisation allow it.
--
-- KEYS, ARGV  as asked.lua tells. A reserve is packed as: owner, from 1; caller's clock, ms; output
--   tokens; fewest output tokens; fixed cost, nano-USD; its rest, pico-USD; price of an output token,
--   nano-USD; its rest, pico-USD; tokens that count for the rate; id; fingerprint; model; model as
--   named by the client; operation; request id; tokens and nano-USD charged if nothing more is heard;
--   tail of the hold
-- Answers {month, now in ms as text, revision, and for each item
--   held, output tokens: two numbers, not a table, which costs the KV more than both
--   {held, output tokens, rates...} where a rate is configured
--   {'BEFORE', held, output tokens, month, admitted ms, state}: a duplicate
--   {'REFUSE', reason, scope, limit, spent, held, running, affordable, retry ms, rate kind, rate
--    limit, rates...}
--   }, where rates are limit, remaining, ms to reset of requests, then of tokens; limit -1: none.

--
-- Made a function. What it counts is written by write().

local month, begun = paying_month(org_quota, now)
turn_to(month)
local lease, minute, now_text = now + lease_ms, now - now % MINUTE, int(now)
local payers, leases, rates, forbids, rated_keys = {}, {}, nil, nil, nil
local revision = (config(org_config, 'revision')[7] or 0) + 0

-- Who pays: configurations, counters and, where one limits them, rates of key, user and organisation,
-- read once a batch.
local function payer(number)
  local o, at, rated = owners[number], 4 * number, false
  local key, user, org = configurations(KEYS[at + 3], KEYS[at + 1], org_config)
  local configured = {key, user, org}
  local counted = {scope(o.counted[1], key[2]), scope(o.counted[2], user[2]),
    scope(org_quota, org[2])}
  for i = 1, 3 do
    local c, s = configured[i], counted[i]
    rated = rated or c[4] or c[5] or c[6]
    if (c[4] or c[5]) and s.requests == nil then
      local v = call('HMGET', o.counted[i], 'rate:requests', 'rate:tokens')
      s.requests, s.tokens = v[1], v[2]
      rated_keys = rated_keys or {}
      rated_keys[o.counted[i]] = s
    end
  end
  local reason, whose = barred(key, user, org, now)
  local found = {name = o.name, head = '\t' .. o.name .. '\t' .. month .. '\t' .. now_text,
    lease = o.lease, configured = configured, counted = counted, rated = rated,
    choosy = (key[3] or '') ~= '' or (user[3] or '') ~= '' or (org[3] or '') ~= '',
    barred = reason and {reason, whose}}
  payers[number] = found
  return found
end

-- `whose` is 1 key, 2 user, 3 organisation, 0 nobody's.
local function refuse(tightest, reason, whose, at)
  tightest = tightest or {-1, 0, 0, -1, 0, 0}
  local name = whose == 1 and 'key' or whose == 2 and 'user' or whose == 3 and 'org' or ''
  local reply = {'REFUSE', reason, name, at.limit or 0, at.spent or 0, at.held or 0,
    at.running or 0, at.affordable or 0, at.retry or 0, at.kind or '', at.rate or 0}
  for i = 1, 6 do reply[#reply + 1] = tightest[i] end
  return reply
end

local function reserve(key)
  local number, caller, want, least, fixed, fixed_rest, price, price_rest, rated, id, fingerprint,
    model, named, operation, request, tokens, least_cost, tail, behind =
    unpacked('<dddddddddsssssssss', packed, place)
  place = behind
  if holds[key] then
    local old = read(holds[key])
    if old.fingerprint ~= fingerprint then return refuse(nil, 'IDEMPOTENCY_CONFLICT', 0, {}) end
    return {'BEFORE', old.held, tonumber(old.out), old.month, tonumber(old.admit), old.state}
  end
  if now - caller > skew or caller - now > skew then return refuse(nil, 'CLOCK_SKEW', 0, {}) end
  if begun ~= month then  -- two clocks agree: no single one that is wrong begins a month
    call('HSET', org_quota, 'month', month)
    begun = month
  end
  local o = payers[number] or payer(number)
  if o.barred then return refuse(nil, o.barred[1], o.barred[2], {}) end
  local configured, counted = o.configured, o.counted
  if o.choosy then
    forbids = forbids or choosing()
    local whose = forbids(configured, model, named)
    if whose then return refuse(nil, 'MODEL_NOT_FOUND', whose, {}) end
  end
  local granted, held, tightest, refusal =
    want, cost(want, fixed, fixed_rest, price, price_rest), nil, nil
  if held > counted[1].free or held > counted[2].free or held > counted[3].free then
    local reason, at
    granted, reason, at =
      affordable(configured, counted, 0, least, want, fixed, fixed_rest, price, price_rest)
    held = cost(granted, fixed, fixed_rest, price, price_rest)
    if reason then
      local spent, holding, running = standing(counted[at])
      refusal = {reason, at, {limit = configured[at][2], spent = spent, held = holding,
        running = running, affordable = math.max(granted, 0)}}
    end
  end
  if o.rated then
    rates = rates or rating()
    local limited
    tightest, limited = rates(configured, counted, rated, false)
    refusal = refusal or limited
  end
  if refusal then return refuse(tightest, unpack(refusal)) end
  if o.rated then tightest = rates(configured, counted, rated, true) end
  take(counted, held, 1)
  if (configured[1][8] or 0) + 0 < minute then
    configured[1][8] = minute
    call('HSET', KEYS[4 * number + 3], 'last_used', int(minute))
  end
  local held_text = int(held)
  local text = written('reserved', fingerprint .. o.head, held_text, int(granted), '0', least_cost,
    tokens, tail)
  holds[key] = text
  call('SET', key, text)
  leases[#leases + 1] = lease
  leases[#leases + 1] = id .. o.lease
  journal(stream, 'reserve', id, o.name, month, model, operation, '0', held_text, '0', '', '',
    request, '')
  if o.rated then return {held, granted, unpack(tightest)} end
  return held, granted
end

local replies, count = {month, now_text, revision}, 3
for n = first + settle_count + 1, #KEYS do
  local answer, output = reserve(KEYS[n])
  replies[count + 1], replies[count + 2] = answer, output
  count = count + (output and 2 or 1)
end
if #leases > 0 then call('ZADD', open_holds, unpack(leases)) end
for key, s in pairs(rated_keys or {}) do
  if s.rated and s.requests then call('HSET', key, 'rate:requests', s.requests) end
  if s.rated and s.tokens then call('HSET', key, 'rate:tokens', s.tokens) end
end
return replies
