"""Mistakes somebody could make in the scripts, one at a time. Each must be noticed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """In ``script``, ``right`` becomes ``wrong``."""

    name: str
    script: str
    right: str
    wrong: str


MUTANTS = (
    Mutant("the first owner pays for all", "reserve", "owner(tonumber(ARGV[a + 3]))", "owner(1)"),
    Mutant(
        "the first owner is charged for all",
        "settle",
        "local o, h = owners[tonumber(ARGV[a + 4])]",
        "local o, h = owners[1]",
    ),
    Mutant("the first month pays for all", "settle", "months[tonumber(ARGV[a + 5])]", "months[1]"),
    Mutant("rates are not written", "ledger", "redis.call('HSET', key, kind, state)", ""),
    Mutant(
        "the batch's last item alone corrects the rate",
        "settle",
        "    known[keys[i]] = state\n",
        "",
    ),
    Mutant(
        "a limit of concurrency alone is none",
        "reserve",
        "or c.rpm or c.tpm or c.concurrency",
        "or c.rpm or c.tpm",
    ),
    Mutant("a retry holds twice", "reserve", "if old then return dup", "if false then return dup"),
    Mutant("any fingerprint will do", "reserve", "if old.fingerprint ~= fingerprint", "if false"),
    Mutant("clocks may differ", "reserve", "> skew then", "> skew * 1000 then"),
    Mutant("skew of exactly the limit", "reserve", "> skew then", ">= skew then"),
    Mutant(
        "the key's limit is forgotten",
        "ledger",
        "for i = 1, 3 do\n    local limit, s",
        "for i = 2, 3 do\n    local limit, s",
    ),
    Mutant(
        "the organisation's limit is forgotten",
        "ledger",
        "for i = 1, 3 do\n    local limit, s",
        "for i = 1, 2 do\n    local limit, s",
    ),
    Mutant(
        "what is held is not counted",
        "ledger",
        "if s.spent + s.held - own + asked > limit",
        "if s.spent + asked > limit",
    ),
    Mutant(
        "the last nano-dollar is refused",
        "ledger",
        "if s.spent + s.held - own + asked > limit",
        "if s.spent + s.held - own + asked >= limit",
    ),
    Mutant(
        "one nano-dollar too many",
        "ledger",
        "own + asked > limit then",
        "own + asked > limit + 1 then",
    ),
    Mutant(
        "held is called exhausted",
        "ledger",
        "local exhausted = s.spent + asked > limit",
        "local exhausted = true",
    ),
    Mutant(
        "held outranks exhausted",
        "ledger",
        "(exhausted and reason == 'BUDGET_HELD')",
        "(not exhausted)",
    ),
    Mutant(
        "a reset does nothing",
        "ledger",
        "tonumber(v[1] or 0) - tonumber(v[3] or 0)",
        "tonumber(v[1] or 0)",
    ),
    Mutant(
        "the batch does not see itself",
        "reserve",
        "counted[i].held, counted[i].running = counted[i].held + held, counted[i].running + 1",
        "",
    ),
    Mutant("concurrency is not counted", "reserve", "add(keys[i], 'running', 1)", ""),
    Mutant("cost is rounded down", "ledger", "math.ceil((p.fixed_rest", "math.floor((p.fixed_rest"),
    Mutant("the rest is lost", "ledger", "(p.fixed_rest + n * p.price_rest)", "(p.fixed_rest)"),
    Mutant(
        "a token more than affordable", "ledger", "do n = n - 1 end", "do n = n - 1 end n = n + 1"
    ),
    Mutant(
        "a token less than affordable",
        "ledger",
        "while n < want and cost(p, n + 1) <= left do n = n + 1 end",
        "",
    ),
    Mutant(
        "the month goes backwards",
        "ledger",
        "if begun and begun > month then return begun, begun end",
        "",
    ),
    Mutant(
        "a wrong clock begins a month",
        "ledger",
        "  return month, begun\n",
        "  redis.call('HSET', org_quota, 'month', month)\n  return month, begun\n",
    ),
    Mutant("no month is begun", "reserve", "if begun ~= month then", "if false then"),
    Mutant("leap years are forgotten", "ledger", "- math.floor(doe / 1460)", ""),
    Mutant(
        "suspended users spend",
        "ledger",
        "if user.status ~= 'active' then return 'SUSPENDED', 'user' end",
        "",
    ),
    Mutant(
        "suspended organisations spend",
        "ledger",
        "if org.status ~= 'active' then return 'SUSPENDED', 'org' end",
        "",
    ),
    Mutant("expired keys live on", "ledger", "(key.expires and key.expires <= now)", "false"),
    Mutant("deleted users spend", "ledger", "or not user.status", ""),
    Mutant(
        "the key's models are not read",
        "reserve",
        "for i = 1, 3 do\n    if not allowed",
        "for i = 2, 3 do\n    if not allowed",
    ),
    Mutant(
        "a pattern need not end", "reserve", "and string.sub(name, #name - #rest + 1) == rest", ""
    ),
    Mutant(
        "requests per minute are not counted",
        "reserve",
        "used = used + asked[r] * MINUTE",
        "used = used + (r - 1) * asked[r] * MINUTE",
    ),
    Mutant("rates do not leak", "reserve", "math.max(0, now - tonumber(t)) * limit", "0"),
    Mutant(
        "a refusal counts for the rate",
        "reserve",
        "tightest, limited = rates(configured, counted, keys, asked, false)",
        "tightest, limited = rates(configured, counted, keys, asked, true)",
    ),
    Mutant(
        "one more at a time", "reserve", "counted[i].running >= most", "counted[i].running > most"
    ),
    Mutant(
        "the key's last use is not noted",
        "reserve",
        "redis.call('HSET', o.config, 'last_used', used)",
        "",
    ),
    Mutant("no lease", "reserve", "= now + lease", "= now"),
    Mutant(
        "the input is forgotten",
        "reserve",
        "cost = p.fixed + (p.fixed_rest > 0 and 1 or 0)",
        "cost = 0",
    ),
    Mutant("a checkpoint extends no lease", "checkpoint", "now + lease", "now"),
    Mutant(
        "costs so far may fall",
        "checkpoint",
        "if tonumber(ARGV[a + 4]) > h.cost then",
        "if true then",
    ),
    Mutant("an extension is not held", "checkpoint", "add(keys[i], h.month .. ':held', more)", ""),
    Mutant(
        "an extension has no limit",
        "checkpoint",
        "local out = largest(p, left,",
        "local out = largest(p, math.huge,",
    ),
    Mutant(
        "an extension counts itself twice",
        "checkpoint",
        "cost(p, h.out + 1), h.held)",
        "cost(p, h.out + 1), 0)",
    ),
    Mutant(
        "an extension is not in the journal", "checkpoint", "journal(KEYS[4]", "tostring(KEYS[4]"
    ),
    Mutant(
        "revoked streams run on",
        "checkpoint",
        "local reason, name = barred(configured, now)",
        "local reason, name",
    ),
    Mutant(
        "settled twice, charged twice",
        "settle",
        "if h.state == 'settled' or h.state == 'released'",
        "if h.state == 'released'",
    ),
    Mutant(
        "a late settle charges in full",
        "settle",
        "e.spent, e.requests, e.model = charged - h.charged",
        "e.spent, e.requests, e.model = charged",
    ),
    Mutant(
        "a late settle counts a second request",
        "settle",
        "charged - h.charged, requests - 1",
        "charged - h.charged, requests",
    ),
    Mutant("a late settle counts tokens twice", "settle", "t = difference(tokens, h.tokens)", ""),
    Mutant("the hold stays", "settle", "    e.held = -h.held\n", ""),
    Mutant("the running request stays", "settle", "o.ended = o.ended + 1", ""),
    Mutant(
        "expiry before the lease ends",
        "settle",
        "member) or 0) > now then",
        "member) or 0) > now + 60000 then",
    ),
    Mutant(
        "expiry at the very end of the lease is early",
        "settle",
        "member) or 0) > now then",
        "member) or 0) >= now then",
    ),
    Mutant("expiry charges the whole hold", "settle", "math.min(h.cost, h.held)", "h.held"),
    Mutant("expiry charges beyond the hold", "settle", "math.min(h.cost, h.held)", "h.cost"),
    Mutant("the replay window never ends", "settle", "now - i.admit > keep", "false"),
    Mutant(
        "fail-open has the short window",
        "settle",
        "tonumber(i.grace and ARGV[2] or ARGV[1])",
        "tonumber(ARGV[1])",
    ),
    Mutant("outcomes are kept too short", "settle", "long and ARGV[2] or ARGV[1]", "1000"),
    Mutant(
        "expired holds are kept too short",
        "settle",
        "local long = i.grace or state == 'expired'",
        "local long = i.grace",
    ),
    Mutant(
        "a release is charged",
        "settle",
        "if i.kind == 'release' then return 0, NOTHING, 0 end",
        "if i.kind == 'release' then return i.cost, NOTHING, 0 end",
    ),
    Mutant(
        "the user is not charged",
        "settle",
        "keys = {KEYS[key + 2], KEYS[key + 1], KEYS[1]}",
        "keys = {KEYS[key + 2], KEYS[key + 2], KEYS[1]}",
    ),
    Mutant(
        "the wrong month pays",
        "settle",
        "if h.month ~= month then return {'MONTH', h.state, 0, h.month} end",
        "",
    ),
    Mutant("another owner settles", "settle", " or h.user ~= o.user\n    or h.key ~= o.key", ""),
    Mutant("fail-open is not told apart", "settle", "s[8] + grace", "s[8]"),
    Mutant("an overrun is silent", "settle", "(h and charged > h.held)", "(false)"),
    Mutant(
        "an anomaly is charged in full",
        "settle",
        "return odd and math.min(i.cost, most) or i.cost",
        "return i.cost",
    ),
    Mutant(
        "an anomaly has no limit when its hold is lost",
        "settle",
        "(i.held > 0 and i.held or math.huge)",
        "math.huge",
    ),
    Mutant("the journal is not written", "settle", "    journal(KEYS[3],", "    tostring(KEYS[3],"),
    Mutant("the records are not written", "settle", "add(m.records, fields[1], e.spent)", ""),
    Mutant(
        "the ranking is not written",
        "settle",
        "rank(m.by_cost, o.user, e.spent)",
        "",
    ),
    Mutant(
        "the lease is not removed",
        "settle",
        "if #leases > 0 then redis.call('ZREM', KEYS[2], unpack(leases)) end",
        "",
    ),
    Mutant(
        "used tokens are not counted again",
        "settle",
        "if h.rated > 0 then rate_again",
        "if false then rate_again",
    ),
    Mutant(
        "the reset forgives nothing", "reset", "month .. ':reset', spent", "month .. ':reset', 0"
    ),
    Mutant(
        "tokens per minute are not counted",
        "reserve",
        "used = used + asked[r] * MINUTE",
        "used = used + (2 - r) * asked[r] * MINUTE",
    ),
    Mutant(
        "a clock that steps back refills a rate", "reserve", "math.max(now, tonumber(t))", "now"
    ),
    Mutant(
        "what is larger than a minute never passes",
        "reserve",
        "math.min(asked, limit) * MINUTE",
        "asked * MINUTE",
    ),
    Mutant(
        "the widest rate is told", "reserve", "left < tightest[o + 2]", "left > tightest[o + 2]"
    ),
    Mutant("the rate forgets the output", "settle", "h.rated, t[1] + t[5])", "h.rated, t[1])"),
    Mutant(
        "a rate gives nothing back",
        "settle",
        "u = math.max(0, tonumber(u) + ",
        "u = math.max(tonumber(u), tonumber(u) + ",
    ),
    Mutant(
        "a record is of the day of the settle",
        "settle",
        "day_of(h and h.admit or i.admit)",
        "day_of(now)",
    ),
    Mutant(
        "a day starts at noon",
        "ledger",
        "math.floor(ms / 86400000) + 719468",
        "math.floor(ms / 86400000 + 0.5) + 719468",
    ),
    Mutant("a late settle is not told apart", "settle", "then flag('late') end", "then end"),
    Mutant(
        "a late release gives nothing back",
        "settle",
        "if i.kind == 'release' then return 0, NOTHING, 0 end",
        "if i.kind == 'release' and not (h and h.state == 'expired') then return 0, NOTHING, 0 end",
    ),
    Mutant(
        "a late settle frees the hold again",
        "settle",
        "if h and h.state == 'reserved' then\n    e.held",
        "if h then\n    e.held",
    ),
    Mutant(
        "an outcome that came late is forgotten soon",
        "settle",
        " or (h and h.state == 'expired')\n  h = h or",
        "\n  h = h or",
    ),
    Mutant(
        "expired twice, charged twice",
        "settle",
        "(i.kind == 'expire' and h.state == 'expired')",
        "false",
    ),
    Mutant(
        "a checkpoint wakes the dead",
        "checkpoint",
        "if h.state ~= 'reserved' then",
        "if h.state == 'settled' then",
    ),
    Mutant(
        "anybody notes a checkpoint", "checkpoint", "if h.user ~= ARGV[a + 2] or", "if false or"
    ),
    Mutant("a reset forgives double", "reset", "':reset', spent", "':reset', 2 * spent"),
    Mutant("a reset is not in the journal", "reset", "journal(KEYS[4],", "tostring(KEYS[4],"),
    Mutant("archived money is lost", "archive", "add(KEYS[2], stem .. 'spent', spent)", ""),
    Mutant("archived holds are lost", "archive", "add(KEYS[2], stem .. 'held', held)", ""),
    Mutant(
        "archived requests are lost", "archive", "add(KEYS[2], stem .. 'requests', requests)", ""
    ),
    Mutant(
        "archived tokens are lost", "archive", "add(KEYS[2], stem .. 'output_tokens', t[5])", ""
    ),
    Mutant("archived entries are not counted", "archive", "add(KEYS[2], 'entries', 1)", ""),
    Mutant("what is archived stays", "archive", "int(tonumber(sequence) + 1)", "sequence"),
    Mutant(
        "one too many is dropped", "archive", "tonumber(sequence) + 1", "tonumber(sequence) + 2"
    ),
    Mutant("entries are archived early", "archive", "'(' .. ARGV[1] .. '-0'", "'+'"),
    Mutant("shares grow beyond the budget", "share", "share + budget - given", "budget"),
    Mutant(
        "the first edge takes all",
        "share",
        "math.max(tonumber(ARGV[2]), own and count or count + 1,\n    redis.call('HLEN', KEYS[3]))",
        "1",
    ),
    Mutant("yesterday's edges are forgotten", "share", "redis.call('HLEN', KEYS[3])", "0"),
    Mutant(
        "a new edge does not wait",
        "share",
        "elseif own or redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then",
        "else",
    ),
    Mutant("edges are not noted", "share", "if not own or share > own then", "if share > 0 then"),
    Mutant("shares are for any day", "share", "then return {'DAY', 0} end", "then end"),
    Mutant("tomorrow's share comes at midnight", "share", "day_of(now + ARGV[5])", "day_of(now)"),
    Mutant("who fails closed has a share", "share", " or c[2] ~= 'fail-open'", ""),
    Mutant("who is suspended has a share", "share", "c[1] ~= 'active' or ", ""),
    Mutant("a lowered budget lowers nothing", "share", "if given > budget then", "if false then"),
    Mutant("a share is not written down", "share", "ARGV[1], int(share))", "ARGV[1], 0)"),
    Mutant(
        "a late return counts", "giveback", "> tonumber(ARGV[4]) then return 0 end", "< 0 then end"
    ),
    Mutant("what was spent is given back", "giveback", "ARGV[1], int(spent))", "ARGV[1], 0)"),
    Mutant("a return raises a share", "giveback", "if own <= spent then return 0 end", ""),
    Mutant("who is gone still counts", "giveback", "redis.call('HDEL', KEYS[1], ARGV[1])", ""),
)
