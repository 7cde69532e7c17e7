-- One entry of an audit trail. Joined in front of the script that makes the change it tells of, so
-- that both happen or neither does; that script answers with `head`.
--
-- KEYS  1 audit stream   2 its head: "<entries> <entry id> <hash>" of the newest entry, absent
--       before the first
-- ARGV  1 the head the caller read before it decided, empty for none   2 the head after this entry
--       3 id of the entry   4 the entry, JSON   5 its hash
-- Answers the head it found: equal to ARGV[1] when the entry was written, anything else when
-- somebody wrote first and nothing was done.

local head = redis.call('GET', KEYS[2]) or ''
if head ~= ARGV[1] then
  return head
end
-- The entry first: it is what a full memory or a trail written by hand refuses, before anything else
-- has changed.
redis.call('XADD', KEYS[1], ARGV[3], 'entry', ARGV[4], 'hash', ARGV[5])
redis.call('SET', KEYS[2], ARGV[2])
