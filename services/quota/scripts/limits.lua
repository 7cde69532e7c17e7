-- What decides whether a request may spend, and how much. Joined behind ledger.lua, in front of
-- reserve and checkpoint.

local SCOPES = {'key', 'user', 'org'}

-- The month that pays now, never before one this organisation has begun; and the one begun last.
local function paying_month(org_quota, now)
  local month = string.sub(day_of(now), 1, 7)
  local begun = call('HGET', org_quota, 'month')
  if begun and begun > month then return begun, begun end
  return month, begun
end

local configs, scopes = {}, {}

-- The configuration at `key`; the same table for the whole batch. What is not there is false.
local function config(key)
  local found = configs[key]
  if not found then
    local v = call('HMGET', key, 'status', 'limit', 'models', 'rpm', 'tpm', 'concurrency',
      'expires', 'last_used', 'revision')
    found = {status = v[1], limit = v[2] and v[2] + 0, models = v[3] or '', rpm = v[4] and v[4] + 0,
      tpm = v[5] and v[5] + 0, concurrency = v[6] and v[6] + 0, expires = v[7] and v[7] + 0,
      last_used = (v[8] or 0) + 0, revision = (v[9] or 0) + 0}
    configs[key] = found
  end
  return found
end

-- The counters at `key` that decide about money of `month`; the same table for the whole batch, so
-- that items see what those before them added.
local function scope(key, month)
  local name = month .. key
  local found = scopes[name]
  if not found then
    local held = month .. ':held'
    local v = call('HMGET', key, month .. ':spent', held, month .. ':reset', 'running')
    found = {spent = (v[1] or 0) - (v[3] or 0), held = (v[2] or 0) + 0, running = (v[4] or 0) + 0,
      key = key, field = held, more = 0, begun = 0, free = math.huge}
    scopes[name] = found
  end
  return found
end

-- Holds `more` of each scope for `begun` more requests; written by write().
local function take(counted, more, begun)
  for i = 1, 3 do
    local s = counted[i]
    s.held, s.running, s.free = s.held + more, s.running + begun, s.free - more
    s.more, s.begun = s.more + more, s.begun + begun
  end
end

-- Writes what was taken. What does not fit into a double is added by the KV itself.
local function write()
  for _, s in pairs(scopes) do
    if s.begun ~= 0 or s.more ~= 0 then
      if s.held < EXACT and s.held - s.more < EXACT then
        call('HSET', s.key, s.field, s.held, 'running', s.running)
      else
        call('HINCRBY', s.key, s.field, int(s.more))
        call('HINCRBY', s.key, 'running', int(s.begun))
      end
    end
  end
end

-- Nano-USD of a request with n output tokens: fixed and price are nano-USD with a rest in pico-USD.
local function cost(p, n)
  return p.fixed + n * p.price + math.ceil((p.fixed_rest + n * p.price_rest) / 1000)
end

-- The largest n <= want whose cost is at most `left`; -1 when not even n = 0 is.
local function largest(p, left, want)
  if cost(p, 0) > left then return -1 end
  if cost(p, want) <= left then return want end
  local n = math.floor((left - p.fixed) / (p.price + p.price_rest / 1000))
  n = math.max(0, math.min(n, want))
  while n > 0 and cost(p, n) > left do n = n - 1 end
  while n < want and cost(p, n + 1) <= left do n = n + 1 end
  return n
end

-- Why key, user or organisation may not spend: reason and scope; nil when they may.
local function barred(configured, now)
  local key, user, org = configured[1], configured[2], configured[3]
  if key.status ~= 'active' or (key.expires and key.expires <= now) or not user.status
    or not org.status then
    return 'API_KEY_INVALID', 'key'
  end
  if user.status ~= 'active' then return 'SUSPENDED', 'user' end
  if org.status ~= 'active' then return 'SUSPENDED', 'org' end
end

-- What all limits leave. `asked` decides who refuses, where it does not fit: BUDGET_EXHAUSTED (it
-- would not fit with nothing held by others, either) outranks BUDGET_HELD. `own` is what the
-- request itself holds already. Answers with the money left, the reason and the scope's number.
local function money(configured, counted, asked, own)
  local left, reason, at = math.huge, nil, 0
  for i = 1, 3 do
    local limit, s = configured[i].limit, counted[i]
    if limit then
      local free = limit - s.spent - s.held + own
      if free < left then left = free end
      if s.spent + s.held - own + asked > limit then
        local exhausted = s.spent + asked > limit
        if not reason or (exhausted and reason == 'BUDGET_HELD') then
          reason, at = exhausted and 'BUDGET_EXHAUSTED' or 'BUDGET_HELD', i
        end
      end
    end
  end
  return left, reason, at
end
