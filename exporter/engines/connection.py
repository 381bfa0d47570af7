"""The connection to PostgreSQL: how long it waits, and what it says when it ends.

libpq's own settings win over those made here. While nothing comes from the server, a
second connection looks at what the first one is waiting for.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo

from exporter.errors import FinetuneError
from exporter.progress import say

Value = TypeVar("Value")

# psycopg warns here of what it ignores while it ends a broken connection; the error
# that broke it is reported anyway.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

# In seconds, tcp_user_timeout in milliseconds (PostgreSQL 18 documentation, "Parameter
# Key Words"). By themselves libpq waits for ever and Linux for two hours.
_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "fallback_application_name": "finetune",
}

# When a silent server is looked at first, and how long to wait at most between looks.
_FIRST_LOOK, _LONGEST_PAUSE = 2.0, 30.0

_AGAIN = "nothing was changed; run the command again"
_ENDED = "nothing was changed; see that the server runs, then run the command again"
_LONGER = "nothing was changed; wait longer with PGOPTIONS='-c {}=0'"

# What helps, by SQLSTATE (PostgreSQL 18 documentation, "Error Codes").
_REMEDIES = {
    "25006": "name a server that takes changes in PGHOST",
    "25P03": _LONGER.format("idle_in_transaction_session_timeout"),
    "25P04": _LONGER.format("transaction_timeout"),
    "40P01": _AGAIN,
    "42501": "grant this role what docs/server.md lists",
    "53100": "nothing was changed; make room on the server and run the command again",
    "53200": _AGAIN,
    "55P03": _LONGER.format("lock_timeout"),
    "57014": _AGAIN,
    "57P01": _ENDED,
    "57P02": _ENDED,
    "57P03": _ENDED,
    "57P05": _ENDED,
}

# What helps where there is no connection yet, by what libpq or the server says.
_CONNECT_REMEDIES = {
    "timeout expired": "check PGHOST and PGPORT, or wait longer with PGCONNECT_TIMEOUT",
    "does not match host name": "set PGHOST to the name in the certificate",
    "certificate verify failed": "set PGSSLROOTCERT to the certificate of the "
    "authority that signed the server's",
    "root certificate file": "set PGSSLROOTCERT to the certificate of the authority "
    "that signed the server's",
    "the database system is": "wait until the server is up",
    "too many": "wait until others have left",
    "No space left on device": "make room on the server and run the command again",
}


def connection_environment() -> dict[str, str]:
    """Return libpq's variables with what it takes from a service file added.

    Programs such as dbt need host, user and database spelled out; with this
    they see what libpq sees when only `PGSERVICE` is set.
    """
    return {
        option.envvar.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar and option.val
    }


def _settings() -> dict[str, str]:
    """Return our settings, each as the user has it if at all."""
    chosen = {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.val
    }
    return {name: chosen.get(name, value) for name, value in _DEFAULTS.items()}


class Connection(psycopg.Connection[Any]):
    """A connection that is watched while it waits, and can be stopped then."""

    look: Callable[[float], None]

    def wait(  # As psycopg has it; a release adds options to it.
        self,
        gen: PQGen[Value],
        *args: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> Value:
        """Wait as psycopg does, and after a stop for nothing more.

        psycopg itself cancels then what the server does for us.
        """
        try:
            return super().wait(self._heard(gen), *args, **options)
        except SystemExit:
            self.pgconn.finish()
            raise

    def _heard(self, gen: PQGen[Value]) -> Generator[Any, Any, Value]:
        """Pass everything on; call `look` with the seconds without an answer."""
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
                    self.look(time.monotonic() - since)
                state = gen.send(ready)
        except StopIteration as done:
            value: Value = done.value
            return value


class _Watch:
    """Looks from a second connection at what the first one waits for."""

    def __init__(self, connection: Connection, settings: dict[str, str]) -> None:
        self._connection, self._settings = connection, settings
        # Also the bound for a peer that acknowledges bytes and sends none.
        self._patience = int(settings["tcp_user_timeout"]) / 1000 or 30.0
        self._next, self._stalled, self._said = _FIRST_LOOK, False, ""

    def look(self, seconds: float) -> None:
        """Say what is waited for; end the connection if nobody is at work for it."""
        if seconds < _FIRST_LOOK:
            self._next, self._stalled = _FIRST_LOOK, False
        if seconds < self._next:
            return
        self._next += min(self._next, _LONGEST_PAUSE)
        before, self._stalled = self._stalled, self._is_stalled()
        if before and self._stalled and seconds >= self._patience:
            self._connection.pgconn.finish()
            raise FinetuneError(
                f"PostgreSQL: no answer for {seconds:.0f} seconds; {_ENDED}"
            )

    def _is_stalled(self) -> bool:
        """Return whether the server is out of reach, or waits for us as we for it."""
        info = self._connection.info
        place = {"host": info.host, "hostaddr": info.hostaddr, "port": str(info.port)}
        place = {name: value for name, value in place.items() if value}
        try:
            with Connection.connect(
                make_conninfo("", **self._settings | place),
                autocommit=True,
                client_encoding="utf8",
            ) as second:
                second.look = _give_up
                found = second.execute(_LOOK, {"pid": info.backend_pid}).fetchone()
        except psycopg.Error as error:
            # A server that refuses us is there; one that is starting has lost us.
            said = str(error)
            return "FATAL" not in said or "the database system is" in said
        if found is None:  # Behind a pool the number may be the pool's own.
            return False
        relation, holder, stalled = found
        if holder:
            line = f"waiting for a lock{relation or ''} held by {holder}"
            if line != self._said:
                say(line)
            self._said = line
        return bool(stalled)


# One row, if the server knows the process: the relation whose lock it waits for, who
# holds that, and whether the process waits for its client.
_LOOK = """
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


def _give_up(seconds: float) -> None:
    if seconds > 5:
        raise psycopg.OperationalError("no answer")


@contextmanager
def connected() -> Iterator[Connection]:
    """Connect as libpq's variables say; turn what goes wrong into one line.

    Raises:
        FinetuneError: No connection, it broke, the server refuses something, or the
            database is not in UTF8.
    """
    settings = _settings()
    try:
        connection = Connection.connect(
            make_conninfo("", **settings), client_encoding="utf8"
        )
    except psycopg.Error as error:
        raise _not_connected(error) from error
    connection.look = _Watch(connection, settings).look
    try:
        with connection:
            encoding = connection.info.parameter_status("server_encoding")
            if encoding != "UTF8":
                raise FinetuneError(
                    f"database {connection.info.dbname} has the encoding {encoding}, "
                    "which cannot hold every character; use one with encoding 'UTF8'"
                )
            yield connection
    except psycopg.Error as error:
        raise explained(error) from error


def _not_connected(error: psycopg.Error) -> FinetuneError:
    said = " ".join(str(error).split())
    fitting = [remedy for part, remedy in _CONNECT_REMEDIES.items() if part in said]
    usual = "check PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE"
    return FinetuneError(f"PostgreSQL: {said}; {[*fitting, usual][0]}")


def _is_ended(error: psycopg.Error) -> bool:
    """Return whether it was the connection that ended, not a statement."""
    return error.sqlstate is None or _REMEDIES.get(error.sqlstate) == _ENDED


def primary(error: psycopg.Error) -> str:
    """Return what the server said, or libpq of the connection, on one line."""
    said = error.diag.message_primary or str(error).partition("\n")[0]
    context = error.diag.context or ""
    where = f" ({context.splitlines()[0]})" if context else ""
    return f"PostgreSQL: {said}{where}"


def explained(error: psycopg.Error) -> FinetuneError:
    """Return what went wrong on a connection that was there, with what helps."""
    remedy = _ENDED if _is_ended(error) else _REMEDIES.get(error.sqlstate or "")
    if error.sqlstate == "57014" and "statement timeout" in str(error):
        remedy = _LONGER.format("statement_timeout")
    return FinetuneError("; ".join(filter(None, [primary(error), remedy])))


def commit(connection: Connection) -> None:
    """Commit; a connection that ends meanwhile leaves open whether it happened."""
    try:
        connection.commit()
    except psycopg.Error as error:
        if not _is_ended(error):
            raise
        raise FinetuneError(
            f"{primary(error)}; whether the rows are in the table is not known: look, "
            "or load them again with --replace"
        ) from error
