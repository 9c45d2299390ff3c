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
