-- One change of an organisation (or of the platform) and its audit entry: both or neither.
--
-- KEYS[1]  audit stream
-- KEYS[2]  its head: "<entries> <entry id> <hash>" of the newest entry, absent before the first
-- KEYS[3…] what the operations touch
-- ARGV[1]  the head the caller read before it decided; empty for none
-- ARGV[2]  the head after this change
-- ARGV[3]  id of the new entry
-- ARGV[4]  the new entry, JSON
-- ARGV[5]  its hash
-- ARGV[6]  operations, JSON: [[command, index into KEYS, argument, …], …]
--
-- Returns the head it found: equal to ARGV[1] when the change was made, anything else when somebody
-- wrote first and nothing was done.
local head = redis.call('GET', KEYS[2]) or ''
if head ~= ARGV[1] then
  return head
end
-- The entry first: it is what a full memory or a trail written by hand refuses, before anything else
-- has changed.
redis.call('XADD', KEYS[1], ARGV[3], 'entry', ARGV[4], 'hash', ARGV[5])
for _, operation in ipairs(cjson.decode(ARGV[6])) do
  redis.call(operation[1], KEYS[operation[2]], unpack(operation, 3))
end
redis.call('SET', KEYS[2], ARGV[2])
return head
