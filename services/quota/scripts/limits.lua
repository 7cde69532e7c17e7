-- What decides whether a request may spend, and how much. Joined behind counters.lua, in front of
-- reserve and checkpoint.

local configs = {}

-- The month that pays now, never before one this organisation has begun; and the one begun last.
local function paying_month(org_quota, now)
  local month = string.sub(day_of(now), 1, 7)
  local begun = call('HGET', org_quota, 'month')
  if begun and begun > month then return begun, begun end
  return month, begun
end

-- The configuration at `key`; the same table for the whole call: 1 status, 2 limit, 3 models, 4 rpm,
-- 5 tpm, 6 concurrency, then what else is asked for. What is not there is false.
local function config(key, ...)
  local found = configs[key]
  if not found then
    found = call('HMGET', key, 'status', 'limit', 'models', 'rpm', 'tpm', 'concurrency', ...)
    found[2] = found[2] and found[2] + 0
    configs[key] = found
  end
  return found
end

-- Those of key (also 7 expires, 8 last used), user and organisation (also 7 revision).
local function configurations(key, user, org)
  return config(key, 'expires', 'last_used'), config(user), config(org, 'revision')
end

-- The counters at `key` that decide about money; `free`: what `limit` leaves.
local function scope(key, limit)
  local s = counters(key)
  if not s.old then s.old, s.last = call('HMGET', key, unpack(fields, 1, ADMITTED)), ADMITTED end
  local spent, held = standing(s)
  s.free = limit and limit - spent - held or math.huge
  return s
end

-- Holds `more` of each scope for `begun` more requests.
local function take(counted, more, begun)
  for i = 1, 3 do
    local s = counted[i]
    s[1], s[2], s.free = s[1] + begun, s[2] + more, s.free - more
  end
end

-- Nano-USD of a request with n output tokens: fixed and price are nano-USD with a rest in pico-USD.
local function cost(n, fixed, fixed_rest, price, price_rest)
  return fixed + n * price + math.ceil((fixed_rest + n * price_rest) / 1000)
end

-- Why key, user or organisation may not spend: reason, and whose it is (1 key, 2 user,
-- 3 organisation); nil when they may.
local function barred(key, user, org, now)
  if key[1] ~= 'active' or (key[7] and key[7] + 0 <= now) or not user[1] or not org[1] then
    return 'API_KEY_INVALID', 1
  end
  if user[1] ~= 'active' then return 'SUSPENDED', 2 end
  if org[1] ~= 'active' then return 'SUSPENDED', 3 end
end

-- How many of `want` output tokens all limits leave (-1: not even none), at a price as for cost().
-- `own` is what the request itself holds already. Where `least` do not fit, also who refuses (1 key,
-- 2 user, 3 organisation) and why: BUDGET_EXHAUSTED (it would not fit with nothing held by others,
-- either) outranks BUDGET_HELD.
local function affordable(configured, counted, own, least, want, ...)
  local left, reason, at, asked = math.huge, nil, 0, cost(least, ...)
  for i = 1, 3 do
    local limit, s = configured[i][2], counted[i]
    if limit then
      local spent, held = standing(s)
      local free = limit - spent - held + own
      if free < left then left = free end
      if spent + held - own + asked > limit then
        local exhausted = spent + asked > limit
        if not reason or (exhausted and reason == 'BUDGET_HELD') then
          reason, at = exhausted and 'BUDGET_EXHAUSTED' or 'BUDGET_HELD', i
        end
      end
    end
  end
  if cost(0, ...) > left then return -1, reason, at end
  if cost(want, ...) <= left then return want, reason, at end
  local fixed, _, price, price_rest = ...
  local n = math.floor((left - fixed) / (price + price_rest / 1000))
  n = math.max(0, math.min(n, want))
  while n > 0 and cost(n, ...) > left do n = n - 1 end
  while n < want and cost(n + 1, ...) <= left do n = n + 1 end
  return n, reason, at
end
