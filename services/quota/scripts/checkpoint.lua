-- checkpoint: note what running requests cost so far, extend their leases and, where asked, their
-- holds.
--
-- KEYS  1 org config   2 org quota   3 holds   4 journal
--       then for each item: user config, user quota, key config, key quota, hold
-- ARGV  1 lease, ms
--       then for each item: 1 id  2 user  3 key  4 cost so far, nano-USD  5 tokens so far
--       6 output tokens to hold for in all (0: as they are)  7 fixed cost, nano-USD  8 its rest,
--       pico-USD  9 price of an output token, nano-USD  10 its rest, pico-USD
-- Answers for each item: {state, output tokens, held, month, reason, scope, limit, spent, held by
--   the scope, running, affordable}; state '' is unknown, reason '' is none, and 'CONFLICT' means
--   that the reservation is another owner's.

local PER_KEY, PER_ARG, SCOPES = 5, 10, {'key', 'user', 'org'}
local now = clock()
local lease = tonumber(ARGV[1])

-- Extends a hold as far as the limits allow. Answers with the hold's output tokens and money, and
-- why it did not grow at all.
local function extend(k, a, h, configured)
  turn_to(h.month)
  local counted = {scope(KEYS[k + 4]), scope(KEYS[k + 2]), scope(KEYS[2])}
  local price = {tonumber(ARGV[a + 7]), tonumber(ARGV[a + 8]), tonumber(ARGV[a + 9]),
    tonumber(ARGV[a + 10])}
  local out, short, at =
    affordable(configured, counted, h.held, h.out + 1, tonumber(ARGV[a + 6]), unpack(price))
  if out <= h.out then
    local spent, held, running = 0, 0, 0
    if short then spent, held, running = standing(counted[at]) end
    return h.out, h.held, {short or '', SCOPES[at] or '', short and configured[at][2] or 0, spent,
      held, running, math.max(out, 0)}
  end
  local more = math.max(0, cost(out, unpack(price)) - h.held)
  take(counted, more, 0)
  h.held, h.out = h.held + more, out
  local model, operation, request = described(h.tail)
  journal(KEYS[4], 'extend', ARGV[a + 1], h.owner, h.month, model, operation, '0', int(more), '0',
    '', '', request, '')
  return out, h.held, nil
end

local function text(h)
  return written(h.state, h.head, int(h.held), int(h.out), h.charged, h.cost, h.tokens, h.tail)
end

local function checkpoint(k, a)
  local kept = call('GET', KEYS[k + 5])
  local none = {'', '', 0, 0, 0, 0, 0}
  if not kept then return {'', 0, 0, '', unpack(none)} end
  local h = read(kept)
  h.out = tonumber(h.out)
  if h.owner ~= ARGV[a + 2] .. '\t' .. ARGV[a + 3] then
    return {'CONFLICT', 0, 0, '', unpack(none)}
  end
  if h.state ~= 'reserved' then return {h.state, h.out, h.held, h.month, unpack(none)} end
  call('ZADD', KEYS[3], now + lease, ARGV[a + 1] .. ' ' .. ARGV[a + 2] .. ' ' .. ARGV[a + 3])
  local before = text(h)
  if tonumber(ARGV[a + 4]) > tonumber(h.cost) then h.cost, h.tokens = ARGV[a + 4], ARGV[a + 5] end
  local configured = {configurations(KEYS[k + 3], KEYS[k + 1], KEYS[1])}
  local reason, whose = barred(configured[1], configured[2], configured[3], now)
  local out, held, refusal = h.out, h.held, {reason or '', SCOPES[whose] or '', 0, 0, 0, 0, 0}
  if not reason and tonumber(ARGV[a + 6]) > h.out then
    out, held, refusal = extend(k, a, h, configured)
  end
  local after = text(h)
  if after ~= before then call('SET', KEYS[k + 5], after) end
  return {'reserved', out, held, h.month, unpack(refusal or none)}
end

local replies = {}
for n = 0, (#KEYS - 4) / PER_KEY - 1 do
  replies[n + 1] = checkpoint(4 + n * PER_KEY, 1 + n * PER_ARG)
end
write()
return replies
