-- share: hand out one edge's part of an organisation's fail-open budget of one UTC day.
--
-- KEYS  1 org config   2 shares of the day   3 shares of the day before
-- ARGV  1 edge   2 edges to reckon with, at least   3 the day   4 how long shares are kept, ms
-- Answers {code, share nano-USD, day}: SHARE; NONE the organisation fails closed or is not active;
--   DAY the KV is in another day, told.
--
-- What was handed out for a day stays counted, whatever becomes of the edge: the sum of a day's
-- shares never exceeds the budget. A part is budget / edges, where edges is the largest of: ARGV 2,
-- those that hold a share of the day, those that held one the day before. A share may grow while
-- something is left; it shrinks only where the budget was lowered below what is handed out.

local day = day_of(clock())
if day ~= ARGV[3] then return {'DAY', 0, day} end
local c = redis.call('HMGET', KEYS[1], 'status', 'failure_mode', 'fallback_daily')
if c[1] ~= 'active' or c[2] ~= 'fail-open' then return {'NONE', 0, day} end

local budget = tonumber(c[3] or 0)
local given, count, own = 0, 0, nil
local shares = redis.call('HGETALL', KEYS[2])
for n = 1, #shares, 2 do
  given, count = given + tonumber(shares[n + 1]), count + 1
  if shares[n] == ARGV[1] then own = tonumber(shares[n + 1]) end
end
if given > budget then
  return {'SHARE', math.min(own or 0, math.floor(budget / math.max(1, count))), day}
end
local edges = math.max(tonumber(ARGV[2]), count + (own and 0 or 1), redis.call('HLEN', KEYS[3]))
local part = math.floor(budget / edges)
local share = math.max(own or 0, math.min(part, (own or 0) + budget - given))
if share ~= own then
  redis.call('HSET', KEYS[2], ARGV[1], int(share))
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
return {'SHARE', share, day}
