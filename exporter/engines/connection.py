"""The connection to PostgreSQL: its timeouts, and its errors with their remedies.

Settings of libpq's variables and files override the defaults here. While the server
does not answer, a second connection finds out what the first one waits for.
"""

import logging
import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo

from exporter.errors import FinetuneError
from exporter.progress import say

Value = TypeVar("Value")

# psycopg logs errors that it ignores while it closes a broken connection; the first
# error is reported anyway.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

# In seconds, tcp_user_timeout in milliseconds (PostgreSQL 18 documentation, "Parameter
# Key Words"). By default libpq has no timeout, and that of Linux is two hours.
_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "fallback_application_name": "finetune",
}

# Seconds without an answer before the first poll, and at most between two polls.
_FIRST_POLL, _LONGEST_PAUSE = 2.0, 30.0

_RUN_AGAIN = "nothing was changed; run the command again"
_CHECK_SERVER = (
    "nothing was changed; see that the server runs, then run the command again"
)
_WAIT_LONGER = "nothing was changed; wait longer with PGOPTIONS='-c {}=0'"

# Remedies by SQLSTATE (PostgreSQL 18 documentation, "Error Codes").
_REMEDIES = {
    "25006": "set PGHOST to a server that accepts writes",
    "25P03": _WAIT_LONGER.format("idle_in_transaction_session_timeout"),
    "25P04": _WAIT_LONGER.format("transaction_timeout"),
    "40P01": _RUN_AGAIN,
    "42501": "grant this role what docs/server.md lists",
    "53100": "nothing was changed; make room on the server and run the command again",
    "53200": _RUN_AGAIN,
    "55P03": _WAIT_LONGER.format("lock_timeout"),
    "57014": _RUN_AGAIN,
    "57P01": _CHECK_SERVER,
    "57P02": _CHECK_SERVER,
    "57P03": _CHECK_SERVER,
    "57P05": _CHECK_SERVER,
}

# Remedies of a failed connection, by a part of the message; the last one is for all.
_CONNECT_REMEDIES = {
    "timeout expired": "check PGHOST and PGPORT, or wait longer with PGCONNECT_TIMEOUT",
    "does not match host name": "set PGHOST to the name in the certificate",
    "certificate verify failed": "set PGSSLROOTCERT to the certificate of the "
    "authority that signed the server's",
    "root certificate file": "set PGSSLROOTCERT to the certificate of the authority "
    "that signed the server's",
    "the database system is": "wait until the server is up",
    "service file": "check PGSERVICEFILE and PGSERVICE",
    "definition of service": "check PGSERVICE and PGSERVICEFILE",
    "configuration parameter": "check PGOPTIONS",
    "invalid value for parameter": "check PGOPTIONS",
    "too many": "wait until others have left",
    "No space left on device": "make room on the server and run the command again",
    "": "check PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE",
}


def connection_environment() -> dict[str, str]:
    """Return libpq's variables, with the values of a service file added.

    Programs such as dbt need host, user and database as variables, even if libpq finds
    them by `PGSERVICE` alone.
    """
    return {
        option.envvar.decode(): os.fsdecode(option.val)
        for option in pq.Conninfo.get_defaults()
        if option.envvar and option.val
    }


def _settings() -> dict[str, str]:
    """Return the defaults, each replaced by the user's setting if there is one."""
    chosen = {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.val
    }
    return {name: chosen.get(name, value) for name, value in _DEFAULTS.items()}


class Connection(psycopg.Connection[Any]):
    """A connection that finds out with a second one what it waits for."""

    _next_poll, _stalled, _reported = _FIRST_POLL, False, ""

    def wait(  # As in psycopg; releases add options to it.
        self,
        gen: PQGen[Value],
        *args: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> Value:
        """Wait as psycopg does, but close the connection after a signal.

        psycopg itself has then cancelled the query on the server.
        """
        try:
            return super().wait(self._timed(gen), *args, **options)
        except SystemExit:
            self.pgconn.finish()
            raise

    def _timed(self, gen: PQGen[Value]) -> Generator[Any, Any, Value]:
        """Run psycopg's generator; call `poll` while the server does not answer."""
        since = None
        try:
            state = next(gen)
            while True:
                ready = yield state
                if ready:
                    since = None
                elif since is None:
                    since = time.monotonic()
                else:
                    self.poll(time.monotonic() - since)
                state = gen.send(ready)
        except StopIteration as done:
            value: Value = done.value
            return value

    def poll(self, seconds: float) -> None:
        """Report the lock that the query waits for; close a stalled connection."""
        if seconds < _FIRST_POLL:
            self._next_poll, self._stalled = _FIRST_POLL, False
        if seconds < self._next_poll:
            return
        self._next_poll += min(self._next_poll, _LONGEST_PAUSE)
        before, self._stalled = self._stalled, self._is_stalled()
        # Applied also to a peer that acknowledges bytes, but sends none.
        timeout = int(_settings()["tcp_user_timeout"]) / 1000 or 30.0
        if before and self._stalled and seconds >= timeout:
            self.pgconn.finish()
            raise FinetuneError(
                f"PostgreSQL: no answer for {seconds:.0f} seconds; {_CHECK_SERVER}"
            )

    def _is_stalled(self) -> bool:
        """Return whether the server is unreachable, or waits for this client."""
        info = self.info
        place = {"host": info.host, "hostaddr": info.hostaddr, "port": str(info.port)}
        place = {name: value for name, value in place.items() if value}
        try:
            with _SecondConnection.connect(
                make_conninfo("", **_settings() | place),
                autocommit=True,
                client_encoding="utf8",
            ) as second:
                cursor = second.execute(_WAIT_QUERY, {"pid": info.backend_pid})
                found = cursor.fetchone()
        except psycopg.Error as error:
            # A server that refuses it is running; one that starts lost the first one.
            message = str(error)
            return "FATAL" not in message or "the database system is" in message
        if found is None:  # A connection pool may return a pid of its own.
            return False
        relation, holder, stalled = found
        if holder:
            line = f"waiting for a lock{relation or ''} held by {holder}"
            if line != self._reported:
                say(line)
            self._reported = line
        return bool(stalled)


class _SecondConnection(Connection):
    """The connection that asks what the first one waits for, for a short time."""

    def poll(self, seconds: float) -> None:
        """Give up after five seconds without an answer."""
        if seconds > 5:
            raise psycopg.OperationalError("no answer")


# One row if the process exists: the relation whose lock it waits for, the holder of the
# lock, and whether the process waits for its client.
_WAIT_QUERY = """
select
    (
        select format(' on %%s.%%s', nspname, relname)
        from pg_locks
        inner join pg_class on pg_class.oid = relation
        inner join pg_namespace on pg_namespace.oid = relnamespace
        where pid = waiting.pid and not granted
        limit 1
    ),
    (
        select concat(
            case
                when blocker = 0 then 'a prepared transaction'
                else concat_ws(
                    '/',
                    coalesce(holder.usename, holder.backend_type),
                    nullif(holder.application_name, '')
                ) || ' pid ' || blocker
            end,
            to_char(
                holder.xact_start at time zone 'utc',
                ' "(since" YYYY-MM-DD HH24:MI:SS "UTC)"'
            )
        )
        from unnest(pg_blocking_pids(waiting.pid)) as blocker
        left join pg_stat_activity as holder on holder.pid = blocker
        order by holder.xact_start
        limit 1
    ),
    waiting.state <> 'active' or coalesce(waiting.wait_event_type = 'Client', false)
from pg_stat_activity as waiting
where waiting.pid = %(pid)s
"""


@contextmanager
def connected() -> Iterator[Connection]:
    """Connect with libpq's variables; raise errors as a FinetuneError of one line.

    Raises:
        FinetuneError: The connection fails or breaks, the server reports an error, or
            the encoding of the database is not UTF8.
    """
    try:
        connection = Connection.connect(
            make_conninfo("", **_settings()), client_encoding="utf8"
        )
    except psycopg.Error as error:
        message = " ".join(str(error).split())
        # psycopg 3.3 does not name a host that comes from a variable.
        host = connection_environment().get("PGHOST")
        message = message.replace("host None", f"host {host}")
        remedy = next(r for part, r in _CONNECT_REMEDIES.items() if part in message)
        raise FinetuneError(f"PostgreSQL: {message}; {remedy}") from error
    try:
        with connection:
            encoding = connection.info.parameter_status("server_encoding")
            if encoding != "UTF8":
                raise FinetuneError(
                    f"database {connection.info.dbname} has the encoding {encoding}, "
                    "which cannot store every character; use one with encoding 'UTF8'"
                )
            yield connection
    except psycopg.Error as error:
        raise with_remedy(error) from error


def _is_disconnect(error: psycopg.Error) -> bool:
    """Return whether the connection ended, and not only a statement."""
    return error.sqlstate is None or _REMEDIES.get(error.sqlstate) == _CHECK_SERVER


def server_message(error: psycopg.Error) -> str:
    """Return the message of the server, or of libpq, on one line."""
    message = error.diag.message_primary or str(error).partition("\n")[0]
    context = error.diag.context or ""
    where = f" ({context.splitlines()[0]})" if context else ""
    return f"PostgreSQL: {message}{where}"


def with_remedy(error: psycopg.Error) -> FinetuneError:
    """Return an error on an open connection, with its remedy if there is one."""
    remedy = (
        _CHECK_SERVER if _is_disconnect(error) else _REMEDIES.get(error.sqlstate or "")
    )
    if error.sqlstate == "57014" and "statement timeout" in str(error):
        remedy = _WAIT_LONGER.format("statement_timeout")
    return FinetuneError("; ".join(filter(None, [server_message(error), remedy])))


def commit(connection: Connection) -> None:
    """Commit; if the connection ends meanwhile, the result is unknown."""
    try:
        connection.commit()
    except psycopg.Error as error:
        if not _is_disconnect(error):
            raise
        raise FinetuneError(
            f"{server_message(error)}; the rows may or may not be in the table: check "
            "it, or load them again with --replace"
        ) from error
