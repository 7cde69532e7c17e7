-- share: hand out one edge's part of an organisation's fail-open budget of one UTC day.
--
-- KEYS  1 org config   2 shares of the day   3 shares of the day before
-- ARGV  1 edge   2 edges to reckon with, at least   3 the day: today, or tomorrow in the last hours
--       4 how long shares are kept, ms   5 how long before its day a share is handed out, ms
-- Answers {code, share nano-USD}: SHARE; NONE the organisation fails closed or is not active; DAY
--   the KV is in another day.
--
-- What was handed out for a day stays counted, whatever becomes of the edge: the sum of a day's
-- shares never exceeds the budget. A part is budget / edges, where edges is the largest of: ARGV 2,
-- those noted for the day, those noted for the day before. An edge that was not there the day
-- before is only noted when it first asks, and gets its part when it asks again, so that edges that
-- start together share. A share may grow while something is left; it shrinks only where the budget
-- was lowered below what is handed out.

local now = clock()
if ARGV[3] ~= day_of(now) and ARGV[3] ~= day_of(now + ARGV[5]) then return {'DAY', 0} end
local c = redis.call('HMGET', KEYS[1], 'status', 'failure_mode', 'fallback_daily')
if c[1] ~= 'active' or c[2] ~= 'fail-open' then return {'NONE', 0} end

local budget = tonumber(c[3] or 0)
local given, count, own = 0, 0, nil
local shares = redis.call('HGETALL', KEYS[2])
for n = 1, #shares, 2 do
  given, count = given + tonumber(shares[n + 1]), count + 1
  if shares[n] == ARGV[1] then own = tonumber(shares[n + 1]) end
end

local share = own or 0
if given > budget then
  share = math.min(share, math.floor(budget / count))
elseif own or redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then
  local edges = math.max(tonumber(ARGV[2]), own and count or count + 1,
    redis.call('HLEN', KEYS[3]))
  share = math.max(share, math.min(math.floor(budget / edges), share + budget - given))
end
if not own or share > own then
  redis.call('HSET', KEYS[2], ARGV[1], int(share))
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
return {'SHARE', share}
