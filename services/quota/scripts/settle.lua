-- settle: replace holds by real costs; release them; expire them; correct an expiry; book a cost
-- whose hold is lost.
--
-- KEYS  1 org quota   2 holds   3 journal
--       then for each item: user quota, key quota, hold, usage records of the month, ranking by
--       cost, ranking by requests
-- ARGV  1 keep, ms: how long outcomes are remembered and unknown reservations accepted
--       2 the same for fail-open requests and expired holds
--       then for each item: 1 id  2 kind: charge, release, expire  3 fingerprint ('' matches any)
--       4 user  5 key  6 month  7 admitted, ms  8 model  9 operation  10 cost, nano-USD  11 tokens:
--       input cached written audio output reasoning audio extra  12 flags  13 fail-open: 1 or 0
--       14 request id  15 held, nano-USD, as the caller knows it; 0: unknown
-- Answers for each item {code, state, charged, month}:
--   OK booked; DUP the outcome stood before; CONFLICT another fingerprint or owner; MONTH the
--   reservation belongs to the month told, nothing was done; OLD unknown and too old; ALIVE the
--   lease has not ended; GONE nothing to expire.

local PER_KEY, PER_ARG = 6, 15
local now = clock()
local STATES = {charge = 'settled', release = 'released', expire = 'expired'}
local ranked = {}

local function rank(key, user, delta)
  local users = ranked[key]
  if not users then
    users = {}
    ranked[key] = users
  end
  users[user] = (users[user] or 0) + delta
end

-- Token counts of `after` less those of `before`.
local function difference(after, before)
  local a, b = numbers(after), numbers(before)
  for n = 1, 8 do a[n] = a[n] - b[n] end
  return a
end

local function joined(t)
  local texts = {}
  for n = 1, 8 do texts[n] = int(t[n]) end
  return table.concat(texts, ' ')
end

-- Puts the tokens really used in place of those counted when the request was admitted.
local function rate_again(keys, rated, used)
  for i = 1, 3 do
    local state = redis.call('HGET', keys[i], 'rate:tokens')
    if state then
      local u, at = string.match(state, '^(%d+) (%d+)$')
      u = math.max(0, tonumber(u) + (used - rated) * MINUTE)
      redis.call('HSET', keys[i], 'rate:tokens', int(u) .. ' ' .. at)
    end
  end
end

local FIELDS = {'spent', 'held', 'requests', 'input_tokens', 'output_tokens',
  'cached_input_tokens', 'reasoning_output_tokens', 'grace'}
local spelled = {}

-- The names of the counters of a month, in the order of FIELDS.
local function names_of(month)
  local names = spelled[month]
  if not names then
    names = {}
    for n = 1, #FIELDS do names[n] = month .. ':' .. FIELDS[n] end
    spelled[month] = names
  end
  return names
end

-- Adds a step to the counters of key, user and organisation, to the records and the rankings.
local function book(k, keys, e, t, grace, day)
  local names = names_of(e.month)
  local values = {e.spent, e.held, e.requests, t[1], t[5], t[2], t[6], grace}
  for i = 1, 3 do
    for n = 1, 8 do
      if values[n] ~= 0 then add(keys[i], names[n], values[n]) end
    end
  end
  local record = day .. '|' .. e.user .. '|' .. e.key .. '|' .. e.model .. '|'
  add(KEYS[k + 4], record .. 'spent', e.spent)
  add(KEYS[k + 4], record .. 'requests', e.requests)
  add(KEYS[k + 4], record .. 'input', t[1])
  add(KEYS[k + 4], record .. 'output', t[5])
  rank(KEYS[k + 5], e.user, e.spent)
  rank(KEYS[k + 6], e.user, e.requests)
end

local function read(key)
  local v = redis.call('HMGET', key, 'state', 'fp', 'user', 'key', 'month', 'admit', 'held',
    'charged', 'cost', 'tokens', 'model', 'op', 'request', 'rated')
  if not v[1] then return nil end
  return {state = v[1], fingerprint = v[2], user = v[3], key = v[4], month = v[5],
    admit = tonumber(v[6]), held = tonumber(v[7]), charged = tonumber(v[8] or 0),
    cost = tonumber(v[9] or 0), tokens = v[10], model = v[11], operation = v[12],
    request = v[13], rated = tonumber(v[14] or 0)}
end

-- The answer that ends the matter before anything is booked; nil when there is something to book.
local function settled_before(i, h, keep)
  local member = i.id .. ' ' .. i.user .. ' ' .. i.key
  if not h then
    if i.kind == 'expire' then
      redis.call('ZREM', KEYS[2], member)
      return {'GONE', '', 0, i.month}
    end
    if i.kind ~= 'release' and now - i.admit > keep then return {'OLD', '', 0, i.month} end
    return nil
  end
  if (i.fingerprint ~= '' and h.fingerprint ~= i.fingerprint) or h.user ~= i.user
    or h.key ~= i.key then
    return {'CONFLICT', h.state, h.charged, h.month}
  end
  if h.state == 'settled' or h.state == 'released'
    or (i.kind == 'expire' and h.state == 'expired') then
    return {'DUP', h.state, h.charged, h.month}
  end
  if h.month ~= i.month then return {'MONTH', h.state, 0, h.month} end
  if i.kind == 'expire' and tonumber(redis.call('ZSCORE', KEYS[2], member) or 0) > now then
    return {'ALIVE', h.state, 0, h.month}
  end
end

-- What an item comes to in all: nano-USD, tokens, requests. An anomaly is never charged more than
-- was held; all else is charged in full.
local function outcome(i, h)
  if i.kind == 'release' then return 0, NOTHING, 0 end
  if i.kind == 'expire' then return math.min(h.cost, h.held), h.tokens, 1 end
  local most = h and h.held or (i.held > 0 and i.held or math.huge)
  local odd = string.find(i.flags, 'anomaly', 1, true)
  return odd and math.min(i.cost, most) or i.cost, i.tokens, 1
end

local function flagged(i, h, charged)
  local flags = i.flags
  local function flag(name) flags = flags == '' and name or flags .. ',' .. name end
  if i.kind == 'expire' then flag('expired') end
  if h and h.state == 'expired' then flag('late') end
  if i.grace then flag('grace') end
  if (h and charged > h.held) or (not h and i.held > 0 and charged > i.held) then flag('overrun') end
  return flags
end

-- Keeps the outcome as long as the same settle could come again and be taken for a new one.
local function remember(key, i, h, state, charged, tokens)
  if h then
    redis.call('HSET', key, 'state', state, 'charged', int(charged), 'tokens', tokens)
  else
    redis.call('HSET', key, 'state', state, 'fp', i.fingerprint, 'user', i.user, 'key', i.key,
      'model', i.model, 'op', i.operation, 'request', i.request, 'month', i.month,
      'admit', int(i.admit), 'held', '0', 'out', '0', 'charged', int(charged), 'tokens', tokens)
  end
  local long = i.grace or state == 'expired' or (h and h.state == 'expired')
  redis.call('PEXPIRE', key, long and ARGV[2] or ARGV[1])
  redis.call('ZREM', KEYS[2], i.id .. ' ' .. i.user .. ' ' .. i.key)
end

local function settle(k, a)
  local i = {id = ARGV[a + 1], kind = ARGV[a + 2], fingerprint = ARGV[a + 3], user = ARGV[a + 4],
    key = ARGV[a + 5], month = ARGV[a + 6], admit = tonumber(ARGV[a + 7]), model = ARGV[a + 8],
    operation = ARGV[a + 9], cost = tonumber(ARGV[a + 10]), tokens = ARGV[a + 11],
    flags = ARGV[a + 12], grace = ARGV[a + 13] == '1', request = ARGV[a + 14],
    held = tonumber(ARGV[a + 15])}
  local keys = {KEYS[k + 2], KEYS[k + 1], KEYS[1]}
  local h = read(KEYS[k + 3])
  local early = settled_before(i, h, tonumber(i.grace and ARGV[2] or ARGV[1]))
  if early then return early end
  local charged, tokens, requests = outcome(i, h)
  local state = STATES[i.kind]
  local e = {kind = i.kind == 'charge' and 'settle' or i.kind, id = i.id, user = i.user,
    key = i.key, month = i.month, model = i.model, operation = i.operation, spent = charged,
    held = 0, requests = requests, tokens = tokens, flags = flagged(i, h, charged),
    request = i.request}
  local t = numbers(tokens)
  if h and h.state == 'reserved' then
    e.held = -h.held
    for n = 1, 3 do add(keys[n], 'running', -1) end
    if h.rated > 0 then rate_again(keys, h.rated, t[1] + t[5]) end
    if i.kind == 'expire' then e.model, e.operation, e.request = h.model, h.operation, h.request end
  elseif h then
    e.spent, e.requests, e.model = charged - h.charged, requests - 1, h.model
    t = difference(tokens, h.tokens)
    e.tokens = joined(t)
  end
  if h or i.kind ~= 'release' then
    book(k, keys, e, t, i.grace and charged or 0, day_of(h and h.admit or i.admit))
    journal(KEYS[3], e)
  end
  remember(KEYS[k + 3], i, h, state, charged, tokens)
  return {'OK', state, charged, i.month}
end

local replies = {}
for n = 0, (#KEYS - 3) / PER_KEY - 1 do
  replies[n + 1] = settle(3 + n * PER_KEY, 2 + n * PER_ARG)
end
flush()
for key, users in pairs(ranked) do
  for user, delta in pairs(users) do
    if delta ~= 0 then redis.call('ZINCRBY', key, int(delta), user) end
  end
end
return replies
