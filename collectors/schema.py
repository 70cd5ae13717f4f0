"""The tables that collectors own, as migrations.

``calls`` keeps what varies per call; the sixteen names that repeat (``dimensions``) and the set of unknown attributes
are kept once and referred to by a digest, which shrinks a row to a third. Readings are kept in compressed chunks of
some dozen; ``parts`` finds the chunks of a trace, and through these its calls, or (with a minus) those calls that were
made anew; ``links`` finds the traces that belong together, and ``unsorted`` holds the latest of both (see `recent`).
"""

from sqlite_utils import Database, Migrations

from driftbell.collectors import metered
from driftbell.collectors.chunk import unpack
from driftbell.collectors.connect import link_numbers
from driftbell.collectors.rows import trace_key

MIGRATIONS = Migrations("driftbell.collectors")

_FIRST = (
    """CREATE TABLE workflows (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, owner TEXT, risk_tier TEXT,
        first_ts REAL NOT NULL, newest_ts REAL NOT NULL, received REAL NOT NULL,
        calls_purged REAL, minutes_purged REAL)""",
    """CREATE TABLE dimensions (
        id INTEGER PRIMARY KEY, operation TEXT, segment TEXT, risk_tier TEXT, owner TEXT, release TEXT, provider TEXT,
        model TEXT, prompt_name TEXT, prompt_version TEXT, usage_source TEXT, cost_source TEXT, price_version TEXT,
        status TEXT, error_type TEXT, finish_reason TEXT, dialect TEXT)""",
    """CREATE TABLE calls (
        id INTEGER PRIMARY KEY, home INTEGER, workflow INTEGER NOT NULL, dimensions INTEGER NOT NULL,
        attributes INTEGER, sources TEXT, trace_id BLOB, span_id BLOB, ts REAL NOT NULL,
        input_tokens INTEGER, cached_tokens INTEGER, cache_write_tokens INTEGER, output_tokens INTEGER,
        reasoning_tokens INTEGER, cost_usd REAL, latency_ms REAL, ttft_ms REAL, streamed INTEGER,
        attempts INTEGER NOT NULL, refused INTEGER, format_ok INTEGER, fallback INTEGER, citations INTEGER,
        retrieval_ms REAL, user_id TEXT, session_id TEXT, response_id TEXT)""",
    "CREATE TABLE attributes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    "CREATE INDEX calls_by_time ON calls (workflow, ts)",
    "CREATE INDEX calls_by_home ON calls (home)",
    """CREATE TABLE judgements (
        row INTEGER PRIMARY KEY, id TEXT UNIQUE, home INTEGER, ts REAL NOT NULL, workflow INTEGER, segment TEXT,
        risk_tier TEXT, model TEXT, prompt_version TEXT, override TEXT, edit_distance REAL, review_ms REAL,
        feedback INTEGER, evaluation TEXT, score REAL, label TEXT, outcome TEXT, call_trace_id TEXT,
        call_span_id TEXT, response_id TEXT)""",
    "CREATE INDEX judgements_by_time ON judgements (workflow, ts)",
    "CREATE INDEX judgements_by_home ON judgements (home)",
    """CREATE TABLE manual_tasks (
        row INTEGER PRIMARY KEY, id TEXT UNIQUE, home INTEGER, ts REAL NOT NULL, workflow INTEGER NOT NULL,
        segment TEXT, risk_tier TEXT, user_id TEXT)""",
    "CREATE INDEX manual_tasks_by_time ON manual_tasks (workflow, ts)",
    "CREATE INDEX manual_tasks_by_home ON manual_tasks (home)",
    """CREATE TABLE markers (
        row INTEGER PRIMARY KEY, id TEXT UNIQUE, home INTEGER, ts REAL NOT NULL, workflow TEXT, kind TEXT NOT NULL,
        value TEXT, text TEXT)""",
    "CREATE INDEX markers_by_time ON markers (ts)",
    "CREATE INDEX markers_by_home ON markers (home)",
    "CREATE TABLE chunks (id INTEGER PRIMARY KEY, received REAL NOT NULL, spans INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE TABLE parts (trace INTEGER, chunk INTEGER, PRIMARY KEY (trace, chunk)) WITHOUT ROWID",
    "CREATE TABLE links (key INTEGER, trace INTEGER, PRIMARY KEY (key, trace)) WITHOUT ROWID",
    """CREATE TABLE bodies (
        id INTEGER PRIMARY KEY, received REAL NOT NULL, signal TEXT NOT NULL, encoding TEXT NOT NULL,
        data BLOB NOT NULL)""",
    """CREATE TABLE points (
        row INTEGER PRIMARY KEY, resolution INTEGER NOT NULL, workflow INTEGER NOT NULL, start INTEGER NOT NULL,
        segment TEXT, risk_tier TEXT, model TEXT, prompt_version TEXT, body BLOB NOT NULL)""",
    "CREATE INDEX points_by_start ON points (resolution, workflow, start)",
    """CREATE TABLE dirty (
        resolution INTEGER, workflow INTEGER, start INTEGER, first REAL NOT NULL, touched REAL NOT NULL,
        times INTEGER NOT NULL, PRIMARY KEY (resolution, workflow, start)) WITHOUT ROWID""",
    """CREATE TABLE series (
        row INTEGER PRIMARY KEY, workflow INTEGER NOT NULL, segment TEXT, risk_tier TEXT, model TEXT,
        prompt_version TEXT)""",
    "CREATE INDEX series_by_workflow ON series (workflow)",
    """CREATE TABLE firsts (
        workflow INTEGER, kind TEXT, value TEXT, ts REAL NOT NULL, PRIMARY KEY (workflow, kind, value))
        WITHOUT ROWID""",
    """CREATE TABLE trust (
        minute INTEGER, service TEXT, counter TEXT, value REAL NOT NULL, PRIMARY KEY (minute, service, counter))
        WITHOUT ROWID""",
)


@MIGRATIONS()
def create_tables(db: Database) -> None:
    """Create every table of collectors."""
    for statement in _FIRST:
        db.execute(statement)


@MIGRATIONS()
def keep_metrics(db: Database) -> None:
    """Keep what metrics say of services that send no spans."""
    metered.create_tables(db)


@MIGRATIONS()
def remember_who_brings_workflows(db: Database) -> None:
    """Tell which service a workflow was first seen from, so that none can take the place of all."""
    db.execute("ALTER TABLE workflows ADD COLUMN sender TEXT NOT NULL DEFAULT ''")


@MIGRATIONS()
def keep_bodies_by_workflow(db: Database) -> None:
    """Tell of which workflow a kept body is, so that each can be kept for as long as is wanted."""
    db.execute("ALTER TABLE bodies ADD COLUMN workflow TEXT")


@MIGRATIONS()
def keep_templates(db: Database) -> None:
    """Keep what spans have in common apart, and find those of one response by one key, of all services."""
    db.execute("CREATE TABLE templates (id INTEGER PRIMARY KEY, used REAL NOT NULL, text TEXT NOT NULL)")
    db.execute("DELETE FROM links")
    connection = db.conn
    last = -1
    while row := connection.execute("SELECT id, data FROM chunks WHERE id > ? ORDER BY id", (last,)).fetchone():
        last, data = row
        readings = unpack(connection, data)
        links = {(key, trace_key(reading.trace_id)) for reading in readings for key in link_numbers(reading)}
        connection.executemany("INSERT OR IGNORE INTO links VALUES (?, ?)", sorted(links))


@MIGRATIONS()
def keep_keys_unsorted(db: Database) -> None:
    """Keep new keys in order of arrival for a while, and find the calls of a trace as its spans are found."""
    db.execute("CREATE TABLE unsorted (id INTEGER PRIMARY KEY, links BLOB NOT NULL, parts BLOB NOT NULL)")
    db.execute("INSERT OR IGNORE INTO parts SELECT home, -id FROM calls WHERE home IS NOT NULL ORDER BY 1, 2")
    db.execute("DROP INDEX calls_by_home")


@MIGRATIONS()
def keep_what_was_exported(db: Database) -> None:
    """Remember which parts of tables of the Collector's ClickHouse exporter were read."""
    db.execute(
        "CREATE TABLE exported_tables (name TEXT, partition TEXT, body TEXT NOT NULL, PRIMARY KEY (name, partition))"
    )


@MIGRATIONS()
def find_calls_by_chunk(db: Database) -> None:
    """Find the calls of a trace that came whole by its chunk, which names the calls of all its traces at once."""
    for name in ("calls_from", "calls_until", "more_from", "more_until"):
        db.execute(f"ALTER TABLE chunks ADD COLUMN {name} INTEGER")
