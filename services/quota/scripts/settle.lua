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
--       then all items, packed: kind (1 charge, 2 release, 3 expire); owner, from 1; month, from 1;
--       admitted, ms; cost, nano-USD; fail-open: 1 or 0; held, nano-USD, as the caller knows it (0:
--       unknown); id; fingerprint ('' matches any); model; operation; tokens: input cached written
--       audio output reasoning audio extra; flags; request id
-- Answers for each item what was charged, if it is booked as told; else {code, state, charged, month}:
--   DUP the outcome stood before; CONFLICT another fingerprint or owner; MONTH the reservation belongs
--   to the month told, nothing was done; OLD unknown and too old; ALIVE the lease has not ended; GONE
--   nothing to expire.

local PER_OWNER, PER_MONTH, ITEM = 2, 4, '<dddddddsssssss'
local now = clock()
local STATES = {charge = 'settled', release = 'released', expire = 'expired'}
local KINDS = {'charge', 'release', 'expire'}
local owners, months, books, records, leases = {}, {}, {}, {}, {}
local count, month_count = ARGV[3] + 0, ARGV[4] + 0
local first, items, place = 3 + PER_OWNER * count + PER_MONTH * month_count, ARGV[#ARGV], 1
local holds = kept(KEYS, first + 1)

-- The answer that ends the matter before anything is booked; nil when there is something to book.
local function settled_before(i, o, h, keep)
  local month = i.month.name
  if not h then
    if i.kind == 'expire' then
      leases[#leases + 1] = i.id .. o.lease
      return {'GONE', '', 0, month}
    end
    if i.kind ~= 'release' and now - i.admit > keep then return {'OLD', '', 0, month} end
    return nil
  end
  if (i.fingerprint ~= '' and h.fingerprint ~= i.fingerprint) or h.owner ~= o.name then
    return {'CONFLICT', h.state, tonumber(h.charged), h.month}
  end
  if h.state == 'settled' or h.state == 'released'
    or (i.kind == 'expire' and h.state == 'expired') then
    return {'DUP', h.state, tonumber(h.charged), h.month}
  end
  if h.month ~= month then return {'MONTH', h.state, 0, h.month} end
  if i.kind == 'expire' and tonumber(call('ZSCORE', KEYS[2], i.id .. o.lease) or 0) > now then
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
  if i.kind == 'expire' then flags = flags .. ',expired' end
  if h and h.state == 'expired' then flags = flags .. ',late' end
  if i.grace then flags = flags .. ',grace' end
  if (h and charged > h.held) or (not h and i.held > 0 and charged > i.held) then
    flags = flags .. ',overrun'
  end
  return i.flags == '' and string.sub(flags, 2) or flags
end

-- Keeps the outcome as long as the same settle could come again and be taken for a new one.
local function remember(key, i, o, h, state, charged, tokens)
  local long = i.grace or state == 'expired' or (h and h.state == 'expired')
  local text
  if h then
    text = written(state, h.head, h.held_text, h.out, charged, h.cost, tokens, h.tail)
  else
    local head = i.fingerprint .. '\t' .. o.name .. '\t' .. i.month.name .. '\t' .. int(i.admit)
    text = written(state, head, '0', '0', charged, '0', tokens,
      '0\t' .. i.model .. '\t' .. i.operation .. '\t' .. i.request)
  end
  holds[key] = text
  call('SET', key, text, 'PX', long and ARGV[2] or ARGV[1])
  leases[#leases + 1] = i.id .. o.lease
end

-- Token counts of `after` less those of `before`.
local function difference(after, before)
  local left, counts = string.gmatch(before, '%-?%d+'), {}
  for count in string.gmatch(after, '%-?%d+') do counts[#counts + 1] = int(count - left()) end
  return table.concat(counts, ' ')
end

-- What the batch adds for an owner, a day and a model, in the order of a month's fields: running
-- requests, the rate (as it is), nano-USD spent, requests, input and output tokens, nano-USD held,
-- cached and reasoning tokens, nano-USD of fail-open.
local function record(o, month, day, model)
  local name = day .. '|' .. o.user .. '|' .. o.key .. '|' .. model
  local found = records[month.name .. name]
  if not found then
    found = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, name = name, month = month, books = o.books}
    records[month.name .. name] = found
  end
  return found
end

local function settle(key)
  local kind, owner, month, admit, cost, grace, known_held, id, fingerprint, told_model,
    told_operation, told_tokens, told_flags, told_request, behind = unpacked(ITEM, items, place)
  place = behind
  local i = {id = id, kind = KINDS[kind], fingerprint = fingerprint, month = months[month],
    admit = admit, model = told_model, operation = told_operation, cost = cost,
    tokens = told_tokens, flags = told_flags, grace = grace == 1, request = told_request,
    held = known_held}
  local o, h = owners[owner], holds[key] and read(holds[key])
  local early = settled_before(i, o, h, tonumber(i.grace and ARGV[2] or ARGV[1]))
  if early then return early end
  local charged, tokens, requests = outcome(i, h)
  local state, flags, charged_text = STATES[i.kind], flagged(i, h, charged), int(charged)
  local spent, held, counted = charged, 0, tokens
  local model, operation, request = i.model, i.operation, i.request
  if h and h.state == 'expired' then
    spent, requests, model = charged - h.charged, requests - 1, described(h)
    counted = difference(tokens, h.tokens)
  end
  local input, cached, output, reasoning = match(counted, '^(%S+) (%S+) %S+ %S+ (%S+) (%S+)')
  if h and h.state == 'reserved' then
    held = -h.held
    for s = 1, 3 do
      local b = o.books[s]
      b.ended = b.ended + 1
      if h.rated ~= '0' then b.again[#b.again + 1] = input + output - h.rated end
    end
    if i.kind == 'expire' then model, operation, request = described(h) end
  end
  if h or i.kind ~= 'release' then
    local r = record(o, i.month, day_of((h and h.admit or i.admit) + 0), model)
    r[3], r[4], r[5], r[6] = r[3] + spent, r[4] + requests, r[5] + input, r[6] + output
    r[7], r[8], r[9], r[10] = r[7] + held, r[8] + cached, r[9] + reasoning,
      r[10] + (i.grace and charged or 0)
    journal(KEYS[3], i.kind == 'charge' and 'settle' or i.kind, i.id, o.name, i.month.name, model,
      operation, spent == charged and charged_text or int(spent), held == 0 and '0' or int(held),
      requests, counted, flags, request, '')
  end
  remember(key, i, o, h, state, charged_text, tokens)
  return charged
end

-- Adds deltas[first..last] to the fields so named, with one read and one write. What does not fit
-- into a double is added by the KV itself. Answers what was there before.
local function change(key, names, deltas, first, last)
  local found, values, count = call('HMGET', key, unpack(names, first, last)), {}, 0
  for n = first, last do
    local delta = deltas[n]
    if delta ~= 0 then
      local old = (found[n - first + 1] or 0) + 0
      local new = old + delta
      if old < EXACT and old > -EXACT and new < EXACT and new > -EXACT then
        values[count + 1], values[count + 2] = names[n], new
        count = count + 2
      else
        call('HINCRBY', key, names[n], int(delta))
      end
    end
  end
  if count > 0 then call('HSET', key, unpack(values)) end
  return found
end

-- Writes a record, and adds it to what the batch changes in the counters of key, user and
-- organisation. A single record is its own sum.
local function close_record(r)
  local m, name = r.month, r.name
  local names = {'', '', name .. '|spent', name .. '|requests', name .. '|input', name .. '|output'}
  local found = change(m.records, names, r, 3, 6)
  if not found[2] and r[4] ~= 0 then call('ZADD', m.index, 0, name) end
  for s = 1, 3 do
    local sums = r.books[s].sums
    local before = sums[m]
    if before then
      local both = {}
      for f = 1, 10 do both[f] = before[f] + r[f] end
      sums[m] = both
    else
      sums[m] = r
    end
  end
end

-- Writes the counters at a key, and puts the tokens really used in place of those counted when the
-- requests were admitted, one after the other; and the rankings, where it is a user's.
local function close_book(b)
  for m, t in pairs(b.sums) do
    t[1], b.ended = -b.ended, 0
    local rare = t[8] ~= 0 or t[9] ~= 0 or t[10] ~= 0
    local state = change(b.key, m.fields, t, 1, rare and 10 or 7)[2]
    if state and #b.again > 0 then
      local used, at = match(state, '^(%d+) (%d+)$')
      for n = 1, #b.again do used = math.max(0, used + b.again[n] * MINUTE) end
      call('HSET', b.key, 'rate:tokens', int(used) .. ' ' .. at)
      b.again = {}
    end
    if b.user and t[3] ~= 0 then call('ZINCRBY', m.by_cost, int(t[3]), b.user) end
    if b.user and t[4] ~= 0 then call('ZINCRBY', m.by_requests, int(t[4]), b.user) end
  end
end

local function book(name, user)
  local found = books[name]
  if not found then
    found = {key = name, user = user, ended = 0, again = {}, sums = {}}
    books[name] = found
  end
  return found
end

local key, arg = 3, 4
for n = 1, count do
  local user, api_key = ARGV[arg + 1], ARGV[arg + 2]
  owners[n] = {user = user, key = api_key, name = user .. '\t' .. api_key,
    lease = ' ' .. user .. ' ' .. api_key,
    books = {book(KEYS[key + 2]), book(KEYS[key + 1], user), book(KEYS[1])}}
  key, arg = key + PER_OWNER, arg + 2
end
for n = 1, month_count do
  local m = ARGV[arg + 1]
  months[n] = {name = m, records = KEYS[key + 1], by_cost = KEYS[key + 2],
    by_requests = KEYS[key + 3], index = KEYS[key + 4],
    fields = {'running', 'rate:tokens', m .. ':spent', m .. ':requests', m .. ':input_tokens',
      m .. ':output_tokens', m .. ':held', m .. ':cached_input_tokens',
      m .. ':reasoning_output_tokens', m .. ':grace'}}
  key, arg = key + PER_MONTH, arg + 1
end
local replies = {}
for n = first + 1, #KEYS do replies[n - first] = settle(KEYS[n]) end
for _, r in pairs(records) do close_record(r) end
for _, b in pairs(books) do close_book(b) end
if #leases > 0 then call('ZREM', KEYS[2], unpack(leases)) end
return replies
