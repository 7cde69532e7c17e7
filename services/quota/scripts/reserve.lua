-- reserve: hold the most that each request can cost, if key, user and organisation allow it.
--
-- KEYS  1 org config   2 org quota   3 holds   4 journal
--       then for each owner: user config, user quota, key config, key quota
--       then for each item: hold
-- ARGV  1 lease, ms   2 largest difference to the caller's clock, ms   3 number of owners
--       then for each owner: user, key
--       then all items, packed: owner, from 1; caller's clock, ms; output tokens; fewest output
--       tokens; fixed cost, nano-USD; its rest, pico-USD; price of an output token, nano-USD; its
--       rest, pico-USD; tokens that count for the rate; id; fingerprint; model; model as named by
--       the client; operation; request id; tokens and nano-USD charged if nothing more is heard;
--       tail of the hold
-- Answers {month, now in ms as text, revision, and for each item
--   held, output tokens: two numbers, not a table, which costs the KV more than both
--   {held, output tokens, rates...} where a rate is configured
--   {'BEFORE', held, output tokens, month, admitted ms, state}: a duplicate
--   {'REFUSE', reason, scope, limit, spent, held, running, affordable, retry ms, rate kind, rate
--    limit, rates...}
--   }, where rates are limit, remaining, ms to reset of requests, then of tokens; limit -1: none.

local PER_OWNER, ITEM = 4, '<dddddddddsssssssss'
local now = clock()
local month, begun = paying_month(KEYS[2], now)
local lease, skew, revision = int(now + ARGV[1]), ARGV[2] + 0, config(KEYS[1]).revision
local owners, rated_scopes, leases = {}, {}, {}
local first, items, place = 4 + PER_OWNER * ARGV[3], ARGV[#ARGV], 1
local holds = kept(KEYS, first + 1)
local minute = now - now % MINUTE
local now_text = int(now)

-- Who pays: names, configurations and counters of key, user and organisation, read once a batch.
local function owner(number)
  local k, a = 4 + (number - 1) * PER_OWNER, 3 + (number - 1) * 2
  local user, api_key = ARGV[a + 1], ARGV[a + 2]
  local name = user .. '\t' .. api_key
  local found = {name = name, head = '\t' .. name .. '\t' .. month .. '\t' .. now_text,
    lease = ' ' .. user .. ' ' .. api_key, config = KEYS[k + 3],
    configured = {config(KEYS[k + 3]), config(KEYS[k + 1]), config(KEYS[1])},
    counted = {scope(KEYS[k + 4], month), scope(KEYS[k + 2], month), scope(KEYS[2], month)}}
  found.reason, found.scope = barred(found.configured, now)
  for i = 1, 3 do
    local c, s = found.configured[i], found.counted[i]
    found.rated = found.rated or c.rpm or c.tpm or c.concurrency
    found.choosy = found.choosy or c.models ~= ''
    if c.limit then s.free = c.limit - s.spent - s.held end
    if (c.rpm or c.tpm) and s.requests == nil then
      local v = call('HMGET', s.key, 'rate:requests', 'rate:tokens')
      s.requests, s.tokens = v[1], v[2]
    end
  end
  owners[number] = found
  return found
end

-- Whether `name` matches `pattern`, where only * is special: each literal piece is found as early
-- as possible, the last one at the end.
local function matches(pattern, name)
  local first, rest = match(pattern, '^([^*]*)%*(.*)$')
  if not first then return pattern == name end
  if string.sub(name, 1, #first) ~= first then return false end
  local at = #first + 1
  while true do
    local piece, more = match(rest, '^([^*]*)%*(.*)$')
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

-- Who of the three does not allow the model; nil: nobody.
local function forbids(configured, model, named)
  for i = 1, 3 do
    if not allowed(configured[i].models, model, named) then return SCOPES[i] end
  end
end

-- A rate is a bucket that leaks `limit` units a minute and holds as many. It is kept as
-- 'used at', used in sixty-thousandths of a unit, so that all of it is whole numbers.
local function leaked(state, limit)
  local used, at = 0, now
  if state then
    local u, t = match(state, '^(%d+) (%d+)$')
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
local function rates(o, tokens, count)
  local configured, counted, asked = o.configured, o.counted, {1, tokens}
  local tightest, refusal = {-1, 0, 0, -1, 0, 0}, nil
  for i = 1, 3 do
    for r = 1, 2 do
      local kind, limit = RATES[r][1], configured[i][RATES[r][2]]
      if limit then
        local used, at = leaked(counted[i][kind], limit)
        local ms = wait(used, limit, asked[r])
        if ms ~= 0 and not refusal then
          refusal = {'RATE_LIMITED', SCOPES[i], {retry = ms or 0, kind = kind, rate = limit}}
        end
        if count then
          used = used + asked[r] * MINUTE
          counted[i][kind] = int(used) .. ' ' .. int(at)
          rated_scopes[counted[i]] = true
        end
        local left = math.max(0, math.floor((limit * MINUTE - used) / MINUTE))
        local p = r * 3 - 3
        if tightest[p + 1] < 0 or left < tightest[p + 2] then
          tightest[p + 1], tightest[p + 2] = limit, left
          tightest[p + 3] = limit > 0 and math.ceil(used / limit) or 0
        end
      end
    end
    local most = configured[i].concurrency
    if most and counted[i].running >= most and not refusal then
      refusal = {'RATE_LIMITED', SCOPES[i],
        {retry = most > 0 and 1000 or 0, kind = 'concurrency', rate = most}}
    end
  end
  return tightest, refusal
end

local function refuse(tightest, reason, name, at)
  tightest = tightest or {-1, 0, 0, -1, 0, 0}
  local reply = {'REFUSE', reason, name, at.limit or 0, at.spent or 0, at.held or 0,
    at.running or 0, at.affordable or 0, at.retry or 0, at.kind or '', at.rate or 0}
  for i = 1, 6 do reply[#reply + 1] = tightest[i] end
  return reply
end

local function duplicate(old, fingerprint)
  if old.fingerprint ~= fingerprint then return refuse(nil, 'IDEMPOTENCY_CONFLICT', '', {}) end
  return {'BEFORE', old.held, tonumber(old.out), old.month, tonumber(old.admit), old.state}
end

-- What is granted, where not all is affordable that was asked for: tokens, and why nothing is.
local function part(o, p, want, least)
  local left, short, at = money(o.configured, o.counted, cost(p, least), 0)
  local granted = largest(p, left, want)
  if not short then return granted end
  local s = o.counted[at]
  return granted, {short, SCOPES[at], {limit = o.configured[at].limit, spent = s.spent,
    held = s.held, running = s.running, affordable = math.max(granted, 0)}}
end

local function reserve(key)
  local number, caller, want, least, fixed, fixed_rest, price, price_rest, rated, id, fingerprint,
    model, named, operation, request, tokens, least_cost, tail, behind =
    unpacked(ITEM, items, place)
  place = behind
  if holds[key] then return duplicate(read(holds[key]), fingerprint) end
  if now - caller > skew or caller - now > skew then return refuse(nil, 'CLOCK_SKEW', '', {}) end
  if begun ~= month then  -- two clocks agree: no single one that is wrong begins a month
    call('HSET', KEYS[2], 'month', month)
    begun = month
  end
  local o = owners[number] or owner(number)
  if o.reason then return refuse(nil, o.reason, o.scope, {}) end
  local forbidden = o.choosy and forbids(o.configured, model, named)
  if forbidden then return refuse(nil, 'MODEL_NOT_FOUND', forbidden, {}) end
  local p = {fixed = fixed, fixed_rest = fixed_rest, price = price, price_rest = price_rest}
  local api_key, user, org = unpack(o.counted)
  local granted, held, short, tightest, limited = want, cost(p, want), nil, nil, nil
  if held > api_key.free or held > user.free or held > org.free then
    granted, short = part(o, p, want, least)
    held = cost(p, granted)
  end
  if o.rated then tightest, limited = rates(o, rated, false) end
  local refusal = short or limited
  if refusal then return refuse(tightest, unpack(refusal)) end
  if o.rated then tightest = rates(o, rated, true) end
  take(o.counted, held, 1)
  if o.configured[1].last_used < minute then
    o.configured[1].last_used = minute
    call('HSET', o.config, 'last_used', int(minute))
  end
  local held_text = int(held)
  local text = written('reserved', fingerprint .. o.head, held_text, int(granted), '0', least_cost,
    tokens, tail)
  holds[key] = text
  call('SET', key, text)
  leases[#leases + 1] = lease
  leases[#leases + 1] = id .. o.lease
  journal(KEYS[4], 'reserve', id, o.name, month, model, operation, '0', held_text, '0', '', '',
    request, '')
  if o.rated then return {held, granted, unpack(tightest)} end
  return held, granted
end

local replies, count = {month, now_text, revision}, 3
for n = first + 1, #KEYS do
  local answer, output = reserve(KEYS[n])
  replies[count + 1], replies[count + 2] = answer, output
  count = count + (output and 2 or 1)
end
if #leases > 0 then call('ZADD', KEYS[3], unpack(leases)) end
write()
for s in pairs(rated_scopes) do
  for _, kind in ipairs({'requests', 'tokens'}) do
    if s[kind] then call('HSET', s.key, 'rate:' .. kind, s[kind]) end
  end
end
return replies
