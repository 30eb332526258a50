"""What to write in place of syntax and functions of other languages that expressions do not have."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from deltamark.domain.suggestions import hint

_NODES: Mapping[type[exp.Expr], str] = {
    exp.BitwiseXor: "test the bits of a whole number with (number & 2) <> 0",
    exp.BitwiseLeftShift: "write the number out, as in (number & 8) <> 0 for the fourth bit",
    exp.BitwiseRightShift: "test a bit of a whole number with (number & 8) <> 0",
    exp.BitwiseNot: "test that a bit is not set with (number & 2) = 0",
    exp.Pow: "multiply the number with itself",
    exp.RegexpLike: "write regexp_matches(text, 'pattern')",
    exp.RegexpILike: "write regexp_matches(text, 'pattern', 'i')",
    exp.SimilarTo: "write regexp_full_match(text, 'pattern')",
    exp.Glob: "write LIKE, or regexp_full_match(text, 'pattern')",
    exp.StartsWith: "write starts_with(text, start)",
    exp.Escape: "write contains(text, searched), starts_with or ends_with",
    exp.Bracket: "write list_first(list), list_last(list) or substring(text, start, length)",
    exp.Array: "compare with IN ('a', 'b')",
    exp.Tuple: "compare each value on its own",
    exp.ArrayOverlaps: "write list_contains(list, value); conditions are joined with AND",
    exp.ArrayContainsAll: "write list_contains(list, value) for each value",
    exp.Subquery: "write a dependency path, such as p.Manager.Name",
    exp.Select: "write a dependency path, such as p.Manager.Name",
    exp.Exists: "write len(list) > 0, with a path over a collection",
    exp.Window: "write list_sum(list), list_max(list) or len(list), with a path over a collection",
    exp.AtTimeZone: "write FormatLocalDate(date, 'Romance Standard Time', 'dd/MM/yyyy HH:mm')",
    exp.Collate: "compare ToLower or Simplify of both sides",
    exp.Star: "name a property, as in p.Name",
    exp.Placeholder: "write the value itself",
}
_FUNCTIONS: Mapping[str, str] = {
    **dict.fromkeys(("isnull", "nvl"), "write coalesce(value, value)"),
    "iif": "write if(condition, value, value)",
    "decode": "write case value when … then … else … end",
    **dict.fromkeys(("charindex", "locate", "indexof"), "write strpos(text, searched)"),
    **dict.fromkeys(("dateadd", "date_add", "adddate"), "write date + interval 3 day"),
    **dict.fromkeys(("date_sub", "subdate"), "write date - interval 3 day"),
    "datediff": "write date_diff('day', from, to)",
    **dict.fromkeys(
        ("now", "getdate", "sysdate", "today", "current_date", "current_timestamp", "getutcdate"),
        "an expression may depend on what it reads only; compute with a property that holds the date",
    ),
    **dict.fromkeys(("to_char", "date_format", "format"), "write strftime(date, '%d/%m/%Y') or cast(value as text)"),
    **dict.fromkeys(("to_date", "to_timestamp", "strptime"), "write ParseUniversalDate(text, 'dd/MM/yyyy')"),
    **dict.fromkeys(("to_number", "convert"), "write cast(value as double)"),
    **dict.fromkeys(("string_agg", "group_concat", "listagg"), "write array_to_string(list, ', ')"),
    **dict.fromkeys(("initcap", "proper"), "write ToFirstName(text) or ToTitle(text)"),
    "ucase": "write upper(text)",
    "lcase": "write lower(text)",
    "regexp_like": "write regexp_matches(text, 'pattern')",
    "regexp_substr": "write regexp_extract(text, 'pattern')",
    "replicate": "write repeat(text, 3)",
    "space": "write repeat(' ', 3)",
    **dict.fromkeys(("bitand", "bit_and", "get_bit"), "write (number & 2) <> 0"),
    **dict.fromkeys(("bitor", "bit_or"), "write number | 2"),
    "xor": "write a <> b for conditions; test bits with (number & 2) <> 0",
    **dict.fromkeys(("pow", "power"), "multiply the number with itself"),
    "sum": "write list_sum(list), with a path over a collection",
    "avg": "write list_avg(list), with a path over a collection",
    "count": "write len(list), with a path over a collection",
    "max": "write greatest(value, value), or list_max(list) with a path over a collection",
    "min": "write least(value, value), or list_min(list) with a path over a collection",
    **dict.fromkeys(("split", "string_split"), "write split_part(text, between, number)"),
    **dict.fromkeys(("guid", "uuid", "newid"), "write ToGuid(text) for the Guid that a text or its bytes name"),
    "sid": "write ToSid(text)",
}
"""Name in lower case -> what to write."""


def instead_of_node(node: exp.Expr) -> str:
    """What to write in place of a kind of syntax, as the end of a sentence; empty if there is nothing."""
    advice = _NODES.get(type(node))
    return f"; {advice}" if advice else ""


def instead_of_function(name: str, known: list[str]) -> str:
    """What to write in place of a function, as the end of a sentence: of other languages, or of the nearest name."""
    advice = _FUNCTIONS.get(name.lower())
    return f"; {advice}" if advice else hint(name, known)
