-- commit: one change of an organisation, or of the platform. Joined behind entry.lua.
--
-- KEYS  3… what the operations touch
-- ARGV  6 operations, JSON: [[command, index into KEYS, argument, …], …]

for _, operation in ipairs(cjson.decode(ARGV[6])) do
  redis.call(operation[1], KEYS[operation[2]], unpack(operation, 3))
end
return head
