-- event: an entry that tells of something which is no change of ours; once, where it has a marker.
-- Joined behind entry.lua.
--
-- KEYS  3 marker, where there is one
-- ARGV  6 how long the marker is kept, seconds

if KEYS[3] then
  redis.call('SET', KEYS[3], '1', 'EX', ARGV[6])
end
return head
