-- giveback: an edge that stops leaves what it has not spent of its share to others.
--
-- KEYS  1 shares of the day
-- ARGV  1 edge   2 what it has spent, nano-USD   3 its clock, ms   4 largest difference to it, ms
-- Answers what is free again, nano-USD.
--
-- A call that comes late must not do anything: the edge may be back, and have a new share.

if math.abs(clock() - tonumber(ARGV[3])) > tonumber(ARGV[4]) then return 0 end
local own, spent = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0), tonumber(ARGV[2])
if own <= spent then return 0 end
if spent > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], int(spent))
else
  redis.call('HDEL', KEYS[1], ARGV[1])  -- it does not count among those who share, either
end
return own - spent
