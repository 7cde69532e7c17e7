-- settle: replace holds by real costs; release them; expire them; correct an expiry; book a cost
-- whose hold is lost.
--
-- KEYS, ARGV  as asked.lua tells. A settlement is packed as: kind (1 charge, 2 release, 3 expire);
--   owner, from 1; month, from 1; admitted, ms; cost, nano-USD; fail-open: 1 or 0; held, nano-USD, as
--   the caller knows it (0: unknown); id; fingerprint ('' matches any); model; operation; tokens:
--   input cached written audio output reasoning audio extra; flags; request id
-- Answers for each item what was charged, if it is booked as told; else {code, state, charged, month}:
--   DUP the outcome stood before; CONFLICT another fingerprint or owner; MONTH the reservation belongs
--   to the month told, nothing was done; OLD unknown and too old; ALIVE the lease has not ended; GONE
--   nothing to expire.
--
-- Made a function. What it counts is written by write().

local leases, again, ended, corrected = {}, nil, nil, {}

-- What an item comes to in all: state, nano-USD, tokens, requests. `most` is what was held, as far
-- as known; an anomaly is never charged more, all else is charged in full. What a hold came to so far
-- is all that an expired one comes to.
local function outcome(kind, cost, tokens, flags, most, cost_so_far, tokens_so_far)
  if kind == 'release' then return 'released', 0, NOTHING, 0 end
  if kind == 'expire' then return 'expired', math.min(cost_so_far, most), tokens_so_far, 1 end
  if string.find(flags, 'anomaly', 1, true) then cost = math.min(cost, most) end
  return 'settled', cost, tokens, 1
end

-- What is told besides: `before` is the hold's state, if there is one.
local function flagged(told, kind, before, grace, charged, most)
  local flags = told
  if kind == 'expire' then flags = flags .. ',expired' end
  if before == 'expired' then flags = flags .. ',late' end
  if grace then flags = flags .. ',grace' end
  if charged > most then flags = flags .. ',overrun' end
  return told == '' and string.sub(flags, 2) or flags
end

local function settle(key)
  local kind, number, month, admit, cost, grace, known_held, id, fingerprint, model, operation,
    told_tokens, told_flags, request, behind = unpacked('<dddddddsssssss', packed, place)
  place, month, grace = behind, months[month], grace == 1
  kind = kind == 1 and 'charge' or kind == 2 and 'release' or 'expire'
  local o, text = owners[number], holds[key]
  local before, head, its_fingerprint, its_owner, its_month, its_admit, held_text, out, its_charged,
    cost_so_far, tokens_so_far, tail, rated, held
  -- What ends the matter before anything is booked.
  if not text then
    if kind == 'expire' then
      leases[#leases + 1] = id .. o.lease
      return {'GONE', '', 0, month.name}
    end
    local keep = grace and keep_long_ms or keep_ms
    if kind ~= 'release' and now - admit > keep then return {'OLD', '', 0, month.name} end
  else
    before, head, its_fingerprint, its_owner, its_month, its_admit, held_text, out, its_charged,
      cost_so_far, tokens_so_far, tail, rated = match(text, HOLD)
    held = held_text + 0
    if (fingerprint ~= '' and its_fingerprint ~= fingerprint) or its_owner ~= o.name then
      return {'CONFLICT', before, tonumber(its_charged), its_month}
    end
    if before == 'settled' or before == 'released'
      or (kind == 'expire' and before == 'expired') then
      return {'DUP', before, tonumber(its_charged), its_month}
    end
    if its_month ~= month.name then return {'MONTH', before, 0, its_month} end
    if kind == 'expire' and tonumber(call('ZSCORE', open_holds, id .. o.lease) or 0) > now then
      return {'ALIVE', before, 0, its_month}
    end
  end
  local most = held or (known_held > 0 and known_held or math.huge)
  local state, charged, tokens, requests =
    outcome(kind, cost, told_tokens, told_flags, most, cost_so_far, tokens_so_far)
  local flags, charged_text = flagged(told_flags, kind, before, grace, charged, most), int(charged)
  local spent, freed, counted = charged, 0, tokens
  local its_model, its_operation, its_request = model, operation, request
  if before == 'expired' then
    spent, requests, its_model = charged - its_charged, requests - 1, described(tail)
    local less, counts = string.gmatch(tokens_so_far, '%-?%d+'), {}
    for n in string.gmatch(tokens, '%-?%d+') do counts[#counts + 1] = int(n - less()) end
    counted = table.concat(counts, ' ')  -- what comes on top
  end
  local input, cached, output, reasoning = match(counted, '^(%S+) (%S+) %S+ %S+ (%S+) (%S+)')
  if text or kind ~= 'release' then
    if before == 'reserved' and kind == 'expire' then
      its_model, its_operation, its_request = described(tail)
    end
    local name = day_of((its_admit or admit) + 0) .. o.place .. its_model
    local r = month.made[name]  -- what the batch adds to a record, in the order of counters
    if not r then
      r = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, owner = o}
      month.made[name] = r
    end
    if before == 'reserved' then
      freed, r[1] = -held, r[1] - 1
      if rated ~= '0' then
        again, ended = again or {}, ended or {}
        again[#again + 1], ended[#again + 1] = input + output - rated, o
      end
    end
    r[2], r[4], r[5], r[6], r[7] = r[2] + freed, r[4] + spent, r[5] + requests, r[6] + input,
      r[7] + output
    r[9], r[10], r[11] = r[9] + cached, r[10] + reasoning, r[11] + (grace and charged or 0)
    journal(stream, kind == 'charge' and 'settle' or kind, id, o.name, month.name, its_model,
      its_operation, spent == charged and charged_text or int(spent),
      freed == 0 and '0' or int(freed), requests, counted, flags, its_request, '')
  end
  -- The outcome is kept as long as the same settle could come again and be taken for a new one.
  if text then
    text = written(state, head, held_text, out, charged_text, cost_so_far, tokens, tail)
  else
    head = fingerprint .. '\t' .. o.name .. '\t' .. month.name .. '\t' .. int(admit)
    text = written(state, head, '0', '0', charged_text, '0', tokens,
      '0\t' .. model .. '\t' .. operation .. '\t' .. request)
  end
  local long = grace or state == 'expired' or before == 'expired'
  holds[key] = text
  call('SET', key, text, 'PX', long and keep_long_ms or keep_ms)
  leases[#leases + 1] = id .. o.lease
  return charged
end

-- Writes a month's records and the rankings of its users, and counts it all for key, user and
-- organisation. Counters that may not fit into a double are written at once, so that what reserves
-- behind reads what the KV made of them.
local function close_month(m)
  local wide = false
  turn_to(m.name)
  for name, r in pairs(m.made) do
    local names = {'', '', '', name .. '|spent', name .. '|requests', name .. '|input',
      name .. '|output'}
    local old, o = call('HMGET', m.records, unpack(names, 4)), r.owner
    change(m.records, names, old, r, 4, 7)
    if not old[2] and r[5] ~= 0 then call('ZADD', m.index, 0, name) end
    for n = 1, 3 do
      local s = counters(o.counted[n])
      for f = 1, 11 do s[f] = s[f] + r[f] end
      if n == 2 then s.user = o.user end
    end
  end
  for key, s in pairs(sheets) do
    s.last = (s[9] ~= 0 or s[10] ~= 0 or s[11] ~= 0) and ALL or SETTLED
    s.old = call('HMGET', key, unpack(fields, 1, s.last))
    local rate = s.old[8]
    if rate and again and not corrected[key] then
      -- Tokens really used take the place of those counted when the requests were admitted, one
      -- after the other, whatever the month: once a call.
      local used, at = match(rate, '^(%d+) (%d+)$')
      for n = 1, #again do
        local c = ended[n].counted
        if c[1] == key or c[2] == key or c[3] == key then
          used = math.max(0, used + again[n] * MINUTE)
        end
      end
      call('HSET', key, 'rate:tokens', int(used + 0) .. ' ' .. at)
      corrected[key] = true
    end
    if s.user and s[4] ~= 0 then call('ZINCRBY', m.by_cost, s[4], s.user) end
    if s.user and s[5] ~= 0 then call('ZINCRBY', m.by_requests, s[5], s.user) end
    wide = wide or #(s.old[2] or '') > 15 or #(s.old[4] or '') > 15
  end
  if wide then write() end
end

local replies = {}
for n = 1, settle_count do replies[n] = settle(KEYS[first + n]) end
for n = 1, month_count do
  if next(months[n].made) then close_month(months[n]) end
end
if #leases > 0 then call('ZREM', open_holds, unpack(leases)) end
return replies
