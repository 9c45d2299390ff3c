-- The store's tables. One section per schema version; a section is never edited once it has been released:
-- a change is a new section at the end. `PRAGMA user_version` says which sections a file has seen.

-- version 1

-- One film to be made. Only JobStore.move() changes `state`.
CREATE TABLE job (
    id             TEXT PRIMARY KEY,          -- sorts by the time it was claimed
    root           TEXT NOT NULL,             -- uuid of the root; '' for a film made without a daemon
    name           TEXT NOT NULL,             -- name of the film, without suffix
    folder         TEXT NOT NULL,             -- sub-folder of the inbox; '' for the top
    state          TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    video          TEXT NOT NULL CHECK (json_valid(video)),   -- InputFile
    audio          TEXT NOT NULL CHECK (json_valid(audio)),   -- InputFile
    options        TEXT NOT NULL CHECK (json_valid(options)), -- RenderOptions
    media          TEXT CHECK (media IS NULL OR json_valid(media)), -- MediaInfo; NULL when the probe refused the files
    claim_dir      TEXT,                      -- folder that holds the inputs; NULL when they are put away
    queued_at      TEXT NOT NULL,             -- UTC, always with microseconds, so that text order is time order
    not_before     TEXT NOT NULL,             -- UTC; a retry waits until then
    priority       INTEGER NOT NULL,          -- larger runs first
    attempts       INTEGER NOT NULL CHECK (attempts >= 0), -- counted before the run: a crash cannot reset it
    strikes        INTEGER NOT NULL CHECK (strikes >= 0),  -- workers its present task has ended
    published_name TEXT,                      -- chosen once, before publishing, so that a crash never makes a second version
    error_code     TEXT,
    error_message  TEXT,
    duplicate_of   TEXT
) STRICT;

-- The queue: JobStore.jobs(state) reads it in this order.
CREATE INDEX job_queue ON job (state, priority DESC, queued_at, id);

-- The status of one root: JobStore.counts(), unfinished() and ended() read it, however long the history is.
CREATE INDEX job_of_root ON job (root, state, id);

-- One row per transition, written in the same transaction. `seq` is the offset of whoever exports the event log.
CREATE TABLE event (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id        TEXT NOT NULL REFERENCES job (id),
    at            TEXT NOT NULL,              -- UTC
    state         TEXT NOT NULL,              -- the state that was entered
    attempts      INTEGER NOT NULL,           -- attempts counted after the step
    error_code    TEXT,                       -- why: also kept for a retry, where the job itself is cleared
    error_message TEXT
) STRICT;

CREATE INDEX event_of_job ON event (job_id, seq);

-- version 2

-- The queue has one order, `turn` (turns.py); a file of version 1 knew no priorities but through the operator, whose
-- step was worth 600 s then.
ALTER TABLE job ADD COLUMN turn        REAL NOT NULL DEFAULT 0;  -- place in the queue, the smallest first
ALTER TABLE job ADD COLUMN lane_folder TEXT;                     -- folder whose jobs may not all run at once; else NULL
ALTER TABLE job ADD COLUMN lane_most   INTEGER;                  -- how many of them may
ALTER TABLE job ADD COLUMN keep_days   INTEGER;                  -- of its originals; NULL: as the settings say
ALTER TABLE job ADD COLUMN batch       TEXT;                     -- batch.id, or NULL; no reference: the row outlives it
ALTER TABLE job ADD COLUMN row_number  INTEGER;                  -- its row there, from 1
ALTER TABLE job ADD COLUMN row_id      TEXT;                     -- the `id` that a manifest gives the row
ALTER TABLE job ADD COLUMN content_key TEXT;                     -- equal for jobs that would give the same film
ALTER TABLE job ADD COLUMN forgiven    INTEGER NOT NULL DEFAULT 0
    CHECK (forgiven BETWEEN 0 AND attempts);                     -- attempts made before a person put the job back
ALTER TABLE job ADD COLUMN film_sha256 TEXT;                     -- of the published film
ALTER TABLE job ADD COLUMN ended_seq   INTEGER;                  -- event with which it ended: clocks jump, this does not
-- From now on `video` and `audio` may be JSON null: a job that failed at the door has one file, or none.

UPDATE job SET turn = (CAST(strftime('%s', queued_at) AS INTEGER) * 1000000 + CAST(substr(queued_at, 21, 6) AS INTEGER))
                      / 1000000.0 - priority * 600.0;
UPDATE job SET ended_seq = (SELECT max(seq) FROM event WHERE event.job_id = job.id)
WHERE state IN ('done', 'failed', 'cancelled');

-- What a job was given at the time: the exported log must not depend on when it is written.
ALTER TABLE event ADD COLUMN duplicate_of TEXT;

DROP INDEX job_queue;
CREATE INDEX job_in_turn ON job (state, turn, id);                              -- jobs()
CREATE INDEX job_waiting ON job (turn, id, root, lane_folder, lane_most)
    WHERE state = 'queued' AND duplicate_of IS NULL;                            -- queue(), past thousands of a full lane
CREATE INDEX job_copies ON job (turn, id)
    WHERE state = 'queued' AND duplicate_of IS NOT NULL;                        -- duplicates()
CREATE INDEX job_ended ON job (ended_seq) WHERE ended_seq IS NOT NULL;          -- ended()
CREATE INDEX job_ended_of_root ON job (root, ended_seq) WHERE ended_seq IS NOT NULL;
CREATE INDEX job_of_content ON job (content_key, root) WHERE content_key IS NOT NULL; -- twin_of()
CREATE INDEX job_of_claim ON job (root, state, id, claim_dir)
    WHERE claim_dir IS NOT NULL;                                                -- claim_dirs(), to_put_away()
CREATE INDEX job_kept ON job (root, state, id, batch, keep_days) WHERE keep_days IS NOT NULL; -- keeps()
CREATE INDEX job_of_batch ON job (batch, row_number, state) WHERE batch IS NOT NULL;   -- batch_progress(), rows_of_batch()
CREATE INDEX job_of_row_id ON job (row_id, batch) WHERE row_id IS NOT NULL;     -- row_before()

-- One manifest or job folder, as it was accepted. Only `stopped` and `closed_at` ever change.
CREATE TABLE batch (
    id          TEXT PRIMARY KEY,             -- sorts by the time it was accepted
    root        TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('manifest', 'folder')),
    name        TEXT NOT NULL,
    folder      TEXT NOT NULL,                -- sub-folder of the inbox
    claim_dir   TEXT NOT NULL,                -- folder in processing/
    accepted_at TEXT NOT NULL,                -- UTC
    strict      INTEGER NOT NULL CHECK (strict IN (0, 1)),
    bundle      INTEGER NOT NULL CHECK (bundle IN (0, 1)),
    good_count  INTEGER NOT NULL CHECK (good_count >= 0), -- rows that become jobs
    stopped     INTEGER NOT NULL DEFAULT 0 CHECK (stopped IN (0, 1)), -- cancelled: no further row is claimed
    closed_at   TEXT,                         -- UTC; NULL while its folder lies in processing/
    rows        TEXT NOT NULL CHECK (json_valid(rows)) -- Row, all of them; last, for it may be megabytes
) STRICT;

CREATE INDEX batch_open ON batch (id) WHERE closed_at IS NULL;
CREATE INDEX batch_of_name ON batch (root, folder, name);

-- Claims that became no job of their own, because a person had put an ended job back: a claim that is announced again
-- after a crash must not become a second job.
CREATE TABLE put_back (
    claim_id TEXT PRIMARY KEY,                -- the id that the claim would have given a new job
    job_id   TEXT NOT NULL REFERENCES job (id)
) STRICT;

CREATE INDEX put_back_job ON put_back (job_id);

-- How far the event table has been exported.
CREATE TABLE export (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL CHECK (seq >= 0)     -- every event up to this one lies in events.jsonl, durably
) STRICT;

INSERT INTO export VALUES (1, 0);

-- version 3

-- The queue of one folder: folders are served in turn. Its lanes stand in it for the same reason as in job_waiting.
CREATE INDEX job_waiting_in_folder ON job (root, folder, turn, id, lane_folder, lane_most)
    WHERE state = 'queued' AND duplicate_of IS NULL;

-- What workers were seen to hold at most: graphics memory without the context of the driver, or main memory with the
-- decoder and encoder beside the worker. One row for each load; bounded, the least recently seen go first.
CREATE TABLE memory_peak (
    engine      TEXT NOT NULL,
    precision   TEXT NOT NULL,                -- number format of its network; '' for none
    device_name TEXT NOT NULL,
    width_px    INTEGER NOT NULL CHECK (width_px > 0),
    height_px   INTEGER NOT NULL CHECK (height_px > 0),
    batch       INTEGER NOT NULL CHECK (batch >= 0),     -- 0: tasks that render nothing
    peak_bytes  INTEGER NOT NULL CHECK (peak_bytes > 0), -- the largest
    samples     INTEGER NOT NULL CHECK (samples > 0),    -- tasks; written only now and then
    seen_at     TEXT NOT NULL,                -- UTC
    PRIMARY KEY (engine, precision, device_name, width_px, height_px, batch)
) STRICT, WITHOUT ROWID;

CREATE INDEX memory_peak_seen ON memory_peak (seen_at);

-- The smaller batch that is remembered after memory was short; raised again step by step, and then removed.
CREATE TABLE memory_ceiling (
    engine       TEXT NOT NULL,
    precision    TEXT NOT NULL,
    device_name  TEXT NOT NULL,
    width_px     INTEGER NOT NULL CHECK (width_px > 0),
    height_px    INTEGER NOT NULL CHECK (height_px > 0),
    batch        INTEGER NOT NULL CHECK (batch > 0),
    since        TEXT NOT NULL,               -- UTC
    good_count   INTEGER NOT NULL CHECK (good_count >= 0), -- tasks that ended well with it
    failed_batch INTEGER NOT NULL CHECK (failed_batch > 0),
    needed_bytes INTEGER NOT NULL CHECK (needed_bytes >= 0), -- with `failed_batch` the need was above this
    PRIMARY KEY (engine, precision, device_name, width_px, height_px)
) STRICT, WITHOUT ROWID;

CREATE INDEX memory_ceiling_since ON memory_ceiling (since);

-- What the context of the driver takes in one worker.
CREATE TABLE memory_context (
    device_name   TEXT PRIMARY KEY,
    context_bytes INTEGER NOT NULL CHECK (context_bytes > 0)
) STRICT, WITHOUT ROWID;

-- version 4

-- What people asked for with a command. Commands only add rows; the daemon carries them out in the order of `seq` and
-- writes what came of it. The last thousand are kept.
CREATE TABLE request (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    act      TEXT NOT NULL CHECK (act IN ('retry', 'cancel', 'prune')),
    target   TEXT NOT NULL,                   -- id of a job or batch; '' for prune
    options  TEXT NOT NULL CHECK (json_type(options) = 'object'), -- of a prune: what is swept, how old it must be
    asked_by TEXT NOT NULL,                   -- name of the account, for the log
    asked_at TEXT NOT NULL,                   -- UTC
    ended_at TEXT,                            -- UTC; NULL: not carried out yet
    outcome  TEXT CHECK (outcome IN ('done', 'refused')),
    note     TEXT NOT NULL DEFAULT ''         -- what came of it, or why it was refused
) STRICT;

CREATE INDEX request_open ON request (seq) WHERE ended_at IS NULL;

-- Since when the oldest waits: oldest_waiting(). A job that a person put back has an old id and a new time.
CREATE INDEX job_waiting_since ON job (queued_at) WHERE state = 'queued';
