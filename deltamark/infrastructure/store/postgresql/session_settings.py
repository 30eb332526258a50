"""The settings of a session that statements rely on, whatever the server, the database and the role set.

They are set on each new connection, after it is known that the connection keeps its session (see `pooler`).
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import Connection, errors
from psycopg.rows import DictRow

from deltamark.domain.errors import StoreError

_PINNED: Mapping[str, str] = {
    # How statements and their values are read.
    "standard_conforming_strings": "on",
    "escape_string_warning": "on",
    "backslash_quote": "safe_encoding",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "default_table_access_method": "heap",
    # Replicas skip foreign keys.
    "session_replication_role": "origin",
    # An error instead of an answer that a policy of rows made smaller.
    "row_security": "off",
    # How results are written.
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "client_min_messages": "warning",
    # A transaction may take long, and a connection may wait long for the next one.
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "exit_on_error": "off",
    # A process that vanished must not hold the lock of writers for hours: the server notices after two minutes.
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "15",
    "tcp_keepalives_count": "4",
    # Sorting a million keys in memory needs more than the default.
    "work_mem": "64MB",
    # Compiling these statements never pays, and a plan for all positions is wrong for the end of the log, where most
    # queries look.
    "jit": "off",
    "plan_cache_mode": "force_custom_plan",
}
"""Setting -> value. Those that a server does not know are left out."""

# Also the planner's methods that somebody switched off. The first statement lets the others take their time.
_DIFFERENT = f"""SET statement_timeout TO 0;
    SELECT w.name, w.value, current_setting(w.name, true) AS present
    FROM (VALUES {", ".join(f"('{name}', '{value}')" for name, value in _PINNED.items())}) AS w (name, value)
    WHERE current_setting(w.name, true) <> w.value
    UNION ALL SELECT name, boot_val, setting FROM pg_settings
    WHERE name LIKE 'enable%' AND vartype = 'bool' AND context = 'user' AND setting <> boot_val
    UNION ALL SELECT 'synchronous_commit', 'on', 'off' WHERE current_setting('synchronous_commit') = 'off'"""

_SET = "SELECT set_config(w.name, w.value, false) FROM unnest(%s::text[], %s::text[]) AS w (name, value)"


def pin_settings(connection: Connection[DictRow], own: Mapping[str, str], store: str) -> None:
    """Sets what statements rely on.

    :param own: settings of this store, which come last.
    :param store: how messages name the store.
    :raises StoreError: if a setting has another value and this user may not change it.
    """
    cursor = connection.execute(_DIFFERENT)
    cursor.nextset()
    different = cursor.fetchall()
    settings = {row["name"]: row["value"] for row in different} | dict(own)
    try:
        _set(connection, settings)
    except psycopg.DatabaseError:
        for row in different:
            try:
                _set(connection, {row["name"]: row["value"]})
            except (errors.InsufficientPrivilege, errors.InvalidParameterValue, errors.CantChangeRuntimeParam) as e:
                raise StoreError(
                    f"{store}: the setting {row['name']} is {row['present']} for the server, the database or the role. "
                    f"Deltamark needs {row['value']}, and this user may not change it. Have it reset: ALTER ROLE … "
                    f"RESET {row['name']}, or ALTER DATABASE … RESET {row['name']}."
                ) from e
        raise


def _set(connection: Connection[DictRow], settings: Mapping[str, str]) -> None:
    connection.execute(_SET, [list(settings), list(settings.values())])
