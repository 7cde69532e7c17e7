-- settle: replace holds by real costs; release them; expire them; correct an expiry; book a cost
-- whose hold is lost.
--
-- KEYS  1 org quota   2 holds   3 journal
--       then for each owner: user quota, key quota
--       then for each month: usage records, ranking by cost, ranking by requests, index of the records
--       then for each item: hold
-- ARGV  1 keep, ms: how long outcomes are remembered and unknown reservations accepted
--       2 the same for fail-open requests and expired holds   3 number of owners   4 of months
--       then for each owner: user, key
--       then for each month: its name
--       then for each item: 1 id  2 kind: charge, release, expire  3 fingerprint ('' matches any)
--       4 owner, from 1  5 month, from 1  6 admitted, ms  7 model  8 operation  9 cost, nano-USD
--       10 tokens: input cached written audio output reasoning audio extra  11 flags
--       12 fail-open: 1 or 0  13 request id  14 held, nano-USD, as the caller knows it; 0: unknown
-- Answers for each item {code, state, charged, month}:
--   OK booked; DUP the outcome stood before; CONFLICT another fingerprint or owner; MONTH the
--   reservation belongs to the month told, nothing was done; OLD unknown and too old; ALIVE the
--   lease has not ended; GONE nothing to expire.

local PER_OWNER, PER_MONTH, PER_ARG = 2, 4, 14
local now = clock()
local STATES = {charge = 'settled', release = 'released', expire = 'expired'}
local FIELDS = {'spent', 'held', 'requests', 'input_tokens', 'output_tokens',
  'cached_input_tokens', 'reasoning_output_tokens', 'grace'}
local owners, months, ranked, known, leases, indexes = {}, {}, {}, {}, {}, {}

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
    local state = known[keys[i]]
    if state == nil then state = redis.call('HGET', keys[i], 'rate:tokens') end
    if state then
      local u, at = string.match(state, '^(%d+) (%d+)$')
      u = math.max(0, tonumber(u) + (used - rated) * MINUTE)
      state = int(u) .. ' ' .. at
      fill(keys[i], 'rate:tokens', state)
    end
    known[keys[i]] = state
  end
end

-- What the batch adds to an owner's counters of a month, in the order of FIELDS.
local function sums(o, month)
  local found = o.sums[month]
  if not found then
    found = {0, 0, 0, 0, 0, 0, 0, 0}
    o.sums[month] = found
  end
  return found
end

-- The fields of an owner's record of a day and a model.
local function record(o, day, model)
  local name = day .. '|' .. o.user .. '|' .. o.key .. '|' .. model .. '|'
  local found = o.records[name]
  if not found then
    found = {name .. 'spent', name .. 'requests', name .. 'input', name .. 'output'}
    o.records[name] = found
  end
  return found
end

-- Adds a step to the counters of key, user and organisation, to the records and the rankings.
local function book(o, m, e, t, grace, day)
  local s = sums(o, m.name)
  s[1], s[2], s[3], s[4] = s[1] + e.spent, s[2] + e.held, s[3] + e.requests, s[4] + t[1]
  s[5], s[6], s[7], s[8] = s[5] + t[5], s[6] + t[2], s[7] + t[6], s[8] + grace
  local fields = record(o, day, e.model)
  add(m.records, fields[1], e.spent)
  add(m.records, fields[2], e.requests)
  add(m.records, fields[3], t[1])
  add(m.records, fields[4], t[5])
  rank(m.by_cost, o.user, e.spent)
  rank(m.by_requests, o.user, e.requests)
end

-- The answer that ends the matter before anything is booked; nil when there is something to book.
local function settled_before(i, o, h, keep)
  local month = i.month.name
  if not h then
    if i.kind == 'expire' then
      leases[#leases + 1] = i.id .. ' ' .. o.user .. ' ' .. o.key
      return {'GONE', '', 0, month}
    end
    if i.kind ~= 'release' and now - i.admit > keep then return {'OLD', '', 0, month} end
    return nil
  end
  if (i.fingerprint ~= '' and h.fingerprint ~= i.fingerprint) or h.user ~= o.user
    or h.key ~= o.key then
    return {'CONFLICT', h.state, h.charged, h.month}
  end
  if h.state == 'settled' or h.state == 'released'
    or (i.kind == 'expire' and h.state == 'expired') then
    return {'DUP', h.state, h.charged, h.month}
  end
  if h.month ~= month then return {'MONTH', h.state, 0, h.month} end
  if i.kind == 'expire' then
    local member = i.id .. ' ' .. o.user .. ' ' .. o.key
    if tonumber(redis.call('ZSCORE', KEYS[2], member) or 0) > now then
      return {'ALIVE', h.state, 0, h.month}
    end
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
local function remember(key, i, o, h, state, charged, tokens)
  local long = i.grace or state == 'expired' or (h and h.state == 'expired')
  h = h or {fingerprint = i.fingerprint, user = o.user, key = o.key, month = i.month.name,
    admit = i.admit, held = 0, out = 0, cost = 0, rated = 0, model = i.model,
    operation = i.operation, request = i.request}
  h.state, h.charged, h.tokens = state, charged, tokens
  redis.call('SET', key, written(h), 'PX', long and ARGV[2] or ARGV[1])
  leases[#leases + 1] = i.id .. ' ' .. o.user .. ' ' .. o.key
end

local function settle(key, a)
  local i = {id = ARGV[a + 1], kind = ARGV[a + 2], fingerprint = ARGV[a + 3],
    month = months[tonumber(ARGV[a + 5])], admit = tonumber(ARGV[a + 6]), model = ARGV[a + 7],
    operation = ARGV[a + 8], cost = tonumber(ARGV[a + 9]), tokens = ARGV[a + 10],
    flags = ARGV[a + 11], grace = ARGV[a + 12] == '1', request = ARGV[a + 13],
    held = tonumber(ARGV[a + 14])}
  local o, h = owners[tonumber(ARGV[a + 4])], read(key)
  local early = settled_before(i, o, h, tonumber(i.grace and ARGV[2] or ARGV[1]))
  if early then return early end
  local charged, tokens, requests = outcome(i, h)
  local state, flags, t = STATES[i.kind], flagged(i, h, charged), numbers(tokens)
  local e = {spent = charged, held = 0, requests = requests, tokens = tokens, model = i.model,
    operation = i.operation, request = i.request}
  if h and h.state == 'reserved' then
    e.held = -h.held
    o.ended = o.ended + 1
    if h.rated > 0 then rate_again(o.keys, h.rated, t[1] + t[5]) end
    if i.kind == 'expire' then e.model, e.operation, e.request = h.model, h.operation, h.request end
  elseif h then
    e.spent, e.requests, e.model = charged - h.charged, requests - 1, h.model
    t = difference(tokens, h.tokens)
    e.tokens = joined(t)
  end
  if h or i.kind ~= 'release' then
    book(o, i.month, e, t, i.grace and charged or 0, day_of(h and h.admit or i.admit))
    journal(KEYS[3], i.kind == 'charge' and 'settle' or i.kind, i.id, o.user, o.key, i.month.name,
      e.model, e.operation, e.spent, e.held, e.requests, e.tokens, flags, e.request, '')
  end
  remember(key, i, o, h, state, charged, tokens)
  return {'OK', state, charged, i.month.name}
end

local count, month_count = tonumber(ARGV[3]), tonumber(ARGV[4])
local key, arg = 3, 4
for n = 1, count do
  owners[n] = {user = ARGV[arg + 1], key = ARGV[arg + 2], sums = {}, records = {}, ended = 0,
    keys = {KEYS[key + 2], KEYS[key + 1], KEYS[1]}}
  key, arg = key + PER_OWNER, arg + 2
end
for n = 1, month_count do
  months[n] = {name = ARGV[arg + 1], records = KEYS[key + 1], by_cost = KEYS[key + 2],
    by_requests = KEYS[key + 3]}
  indexes[KEYS[key + 1]] = KEYS[key + 4]
  key, arg = key + PER_MONTH, arg + 1
end
local replies = {}
for n = 1, #KEYS - key do
  replies[n] = settle(KEYS[key + n], arg + (n - 1) * PER_ARG)
end
for n = 1, count do
  local o = owners[n]
  for i = 1, 3 do
    add(o.keys[i], 'running', -o.ended)
    for month, values in pairs(o.sums) do
      for f = 1, 8 do add(o.keys[i], month .. ':' .. FIELDS[f], values[f]) end
    end
  end
end
flush(function(key, field)
  local name = indexes[key] and string.match(field, '^(.*)|requests$')
  if name then redis.call('ZADD', indexes[key], 0, name) end
end)
for ranking, users in pairs(ranked) do
  for user, delta in pairs(users) do
    if delta ~= 0 then redis.call('ZINCRBY', ranking, int(delta), user) end
  end
end
if #leases > 0 then redis.call('ZREM', KEYS[2], unpack(leases)) end
return replies
