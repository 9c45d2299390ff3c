/* Draws the page from the data inlined in it, and keeps it fresh.

   A page on file:// may read no other file, not even a newer one of itself. So it opens itself in a hidden frame,
   with ?feed, and that copy sends its data up and does nothing else. Unlike a reload this keeps everything the reader
   has scrolled to or opened, and when the share is gone it leaves a page that says so, not the browser's error. */
(() => {
  const STALE_S = 60;
  const BUSY_S = 5;
  const CALM_S = 20;
  const FOLD = { needs: 5, work: 8, results: 8, queue: 8, batches: 6, arriving: 6 };
  const byId = (id) => document.getElementById(id);
  const own = byId("told").textContent;

  if (location.search.startsWith("?feed")) {
    parent.postMessage(own, location.protocol === "file:" ? "*" : location.origin);
    return;
  }

  let told = JSON.parse(own);
  let lang = "en";
  let words = WORDS.en;

  // Words ----------------------------------------------------------------------------------------------------------

  const askedLanguage = () => (/[?#&]lang=(en|zh)\b/.exec(location.hash || location.search) || [])[1];
  const readersLanguage = () => navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in WORDS);

  function speak(language) {
    lang = language;
    words = WORDS[lang];
    document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
  }

  function say(key, values = {}) {
    const forms = words[key].split("|");
    const text = forms[values.n === 1 ? 0 : forms.length - 1];
    return text.replace(/\{(\w+)\}/g, (_, name) => (name === "n" ? number(values.n) : values[name]));
  }

  const locale = () => (lang === "zh" ? "zh-CN" : navigator.languages.find((tag) => tag.startsWith("en")) || "en");
  const number = (n) => n.toLocaleString(locale());
  const advice = (code) => {
    const found = (told.advice || {})[code];
    return found && (lang === "zh" ? [found.title_zh, found.todo_zh] : [found.title, found.todo]);
  };

  // Times ----------------------------------------------------------------------------------------------------------

  function clock(at, seconds) {
    const now = new Date();
    const how = { hour: "numeric", minute: "2-digit" };
    if (seconds) how.second = "2-digit";
    if (at.toDateString() !== now.toDateString()) {
      if (Math.abs(now - at) < 6 * 864e5) how.weekday = "short";
      else Object.assign(how, { month: "short", day: "numeric" });
    }
    return at.toLocaleString(locale(), how);
  }

  function ago(at) {
    const past = Math.round((at - Date.now()) / 1000);
    const words = new Intl.RelativeTimeFormat(locale(), { numeric: "auto" });
    for (const [unit, seconds] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
      if (Math.abs(past) >= seconds) return words.format(Math.trunc(past / seconds), unit);
    }
    return words.format(past, "second");
  }

  function span(seconds) {
    const minutes = Math.max(1, Math.round(seconds / 60));
    return minutes < 60 ? say("minutes", { n: minutes }) : say("hours", { h: Math.floor(minutes / 60), m: minutes % 60 });
  }

  const left = (at) => {
    const seconds = (Date.parse(at) - Date.now()) / 1000;
    return seconds < 60 ? say("left_soon") : say("left", { time: span(seconds) });
  };

  function length(seconds) {
    const whole = Math.round(seconds);
    const two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(whole / 3600);
    return (hours ? hours + ":" + two(Math.floor(whole / 60) % 60) : Math.floor(whole / 60)) + ":" + two(whole % 60);
  }

  // Is it alive? ---------------------------------------------------------------------------------------------------

  const opened = performance.now();
  let sighted = null; // when a newer page was seen, on a clock that nobody sets
  let skew_s = null; // by how much the reader's clock was ahead of heygemd's then

  const age_s = () => (Date.now() - Date.parse(told.written_at)) / 1000;

  /* Two clocks may differ. What was seen to change a moment ago was written by something alive, whatever the clocks
     say; before anything has changed, a time in the future proves only that one of them is wrong. */
  function isAlive() {
    if (sighted !== null && performance.now() - sighted < STALE_S * 1000) return true;
    const age = age_s() - (skew_s !== null && Math.abs(skew_s) > STALE_S ? skew_s : 0);
    return age < -STALE_S ? performance.now() - opened < STALE_S * 1000 : age < STALE_S;
  }

  function clocksDiffer_s() {
    if (skew_s !== null) return Math.abs(skew_s) > STALE_S ? Math.abs(skew_s) : 0;
    return age_s() < -STALE_S ? -age_s() : 0;
  }

  function mood() {
    if (!isAlive()) return "stopped";
    if (told.root.state !== "online") return told.root.state;
    if (told.running.length) return "working";
    if (told.counts.queued) return "queued";
    return told.waiting.some((file) => !file.needs_you) ? "arriving" : "idle";
  }

  // Building -------------------------------------------------------------------------------------------------------

  /* Names and sentences become text nodes, here and nowhere else. */
  function make(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== null) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== ""));
    return node;
  }

  function write(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  const quiet = (...texts) => {
    const kept = texts.flat().filter(Boolean);
    return kept.length ? make("p", { class: "quiet" }, kept.flatMap((text, at) => (at ? [" · ", text] : [text]))) : null;
  };
  const folder = (entry) => (entry.folder ? make("bdi", { class: "folder" }, entry.folder) : null);
  const title = (entry) => make("bdi", { class: "name", title: entry.name }, entry.name);
  const head = (entry, at) => make("div", { class: "head" },
    make("p", {}, title(entry), " ", folder(entry)), at ? make("span", { class: "at" }, at) : null);
  const link = (href, ...inside) => make("a", { href }, ...inside);

  const drawn = new Map();
  const unfolded = new Set();

  /* Builds a part anew only when what it shows has changed: pictures do not flicker, and the reader keeps the place. */
  function draw(id, values, build) {
    const wanted = JSON.stringify([lang, values]);
    if (drawn.get(id) === wanted) return;
    drawn.set(id, wanted);
    const children = build();
    byId(id).replaceChildren(...children.filter(Boolean));
    byId(id).hidden = !children.length;
  }

  /* A heading, the first few entries, the others folded, and how many there are that the data does not list. */
  function section(id, heading, entries, build, { count = entries.length, more = "not_listed", ordered = false } = {}) {
    if (!entries.length) return [];
    const items = entries.map(build);
    const [shown, rest] = [items.slice(0, FOLD[id]), items.slice(FOLD[id])];
    const tag = ordered ? "ol" : "ul";
    byId(id).setAttribute("aria-labelledby", id + "-heading");
    return [
      make("h2", { id: id + "-heading" }, say(heading), count ? make("span", { class: "count" }, number(count)) : null),
      make(tag, { class: "list" }, shown),
      rest.length ? fold(id, make(tag, { class: "list", start: ordered ? FOLD[id] + 1 : null }, rest), rest.length) : null,
      count > entries.length ? quiet(say(more, { n: count - entries.length })) : null,
    ];
  }

  function fold(id, rest, count) {
    const box = make("details", {}, make("summary", {}, say("and_more", { n: count })), rest);
    box.open = unfolded.has(id);
    box.addEventListener("toggle", () => (box.open ? unfolded.add(id) : unfolded.delete(id)));
    return box;
  }

  function bar(label) {
    const fill = make("span", { class: "fill" });
    return make("div", { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
  }

  function setBar(node, done, total) {
    if (!total) {
      node.removeAttribute("aria-valuenow");
      node.classList.add("unknown");
      return;
    }
    const percent = Math.min(100, Math.floor((100 * done) / total));
    node.classList.remove("unknown");
    node.setAttribute("aria-valuenow", percent);
    node.firstChild.style.width = percent + "%";
  }

  // Parts ----------------------------------------------------------------------------------------------------------

  const failures = () => told.results.filter((result) => result.state === "failed");
  const films = () => told.results.filter((result) => result.state !== "failed");

  function needs() {
    const found = told.problems.map((problem) => (
      { kind: "settings", what: problem.path, text: say("config_title"), detail: problem.message, todo: say("config_todo") }));
    for (const file of told.waiting.filter((waiting) => waiting.needs_you)) {
      const [text, todo] = words.why[file.why] || [file.reason];
      found.push({ kind: "waiting", what: file.path, text, todo, at: file.since });
    }
    for (const job of failures()) {
      const [text, todo] = advice(job.error_code) || [job.error_title || job.error_message || job.error_code];
      found.push({ kind: "failed", what: job.name, folder: job.folder, code: job.error_code, text, todo,
        detail: job.error_message, href: job.reason_file_href, at: job.finished_at });
    }
    return found;
  }

  const drawNeed = (need) => make("li", { class: "card need " + need.kind },
    head({ name: need.what, folder: need.folder }, need.at ? clock(new Date(need.at)) : null),
    make("p", { class: "what" }, need.code ? make("span", { class: "code" }, need.code) : null, " ", need.text),
    need.todo ? make("p", { class: "todo" }, need.todo) : null,
    need.detail ? make("p", { class: "detail" }, make("bdi", {}, need.detail)) : null,
    need.href ? make("p", {}, link(need.href, say("reason_link"))) : null);

  function drawNeeds() {
    const found = needs();
    const count = found.length + told.counts.failed - failures().length;
    draw("needs", [found, count], () => {
      const parts = section("needs", "needs", found, drawNeed, { count, more: "more_failed" });
      return failures().length ? [...parts, quiet(say("failed_retry"))] : parts;
    });
    return count;
  }

  const STAGES = ["analyse", "render", "finish", "publish"];

  const drawRunning = (job) => make("li", { class: "card", "data-job": job.job },
    head(job, job.film_s ? length(job.film_s) : null),
    bar(job.name),
    make("p", { class: "progress" }, make("span", { class: "stage" }), make("span", { class: "left" })),
    make("p", { class: "quiet facts" }));

  function drawWork() {
    const fixed = told.running.map((job) => [job.job, job.name, job.folder, job.film_s]);
    draw("work", fixed, () => section("work", "work", told.running, drawRunning, { count: told.counts.running }));
    for (const job of told.running) {
      const card = byId("work").querySelector(`[data-job="${CSS.escape(job.job)}"]`);
      const step = STAGES.indexOf(job.stage);
      const put = (name, text) => write(card.querySelector(name), text);
      setBar(card.querySelector(".bar"), job.stage === "publish" ? 1 : job.frames_done, job.stage === "publish" ? 1 : job.frames_total);
      put(".stage", (step < 0 ? job.stage : say("stage_" + job.stage)) + (step < 0 ? "" : ` (${step + 1}/${STAGES.length})`));
      put(".left", job.ready_at && isAlive() ? left(job.ready_at) : "");
      put(".facts", [
        job.frames_total ? say("frames", { done: number(job.frames_done), total: number(job.frames_total) }) : "",
        job.device, job.attempts > 1 ? say("attempt", { n: job.attempts }) : ""].filter(Boolean).join(" · "));
    }
  }

  function drawQueued(job, at) {
    const wait = job.waits_for && (advice(job.waits_for.slice(0, 4)) || [job.waits_for])[0];
    const when = job.not_before && Date.parse(job.not_before) > Date.now()
      ? say("not_before", { time: clock(new Date(job.not_before)) })
      : job.starts_at && mood() === "working" ? (at === 0 ? say("starts_soon") : say("starts", { time: clock(new Date(job.starts_at)) })) : null;
    return make("li", { class: "row" },
      make("span", { class: "place" }, number(job.position || at + 1)),
      make("div", {}, title(job), quiet(folder(job), job.film_s ? length(job.film_s) : null, job.priority ? say("priority", { n: job.priority }) : null, wait)),
      when ? make("span", { class: "at" }, when) : null);
  }

  function drawWaiting(file) {
    const [text] = words.why[file.why] || [file.reason];
    return make("li", { class: "row" },
      make("div", {}, title({ name: file.path }), quiet(text, say("since", { time: clock(new Date(file.since)) }))));
  }

  function drawBatch(batch) {
    const ended = batch.done + batch.failed;
    const progress = bar(batch.name);
    setBar(progress, ended, batch.rows);
    return make("li", { class: "row batch" }, make("div", {},
      title(batch), progress,
      quiet(folder(batch), say("of", { n: ended, total: number(batch.rows) }),
        batch.failed ? make("span", { class: "bad" }, say("rows_failed", { n: batch.failed })) : null,
        batch.report_href ? link(batch.report_href, say("report")) : say("kind_" + batch.kind))));
  }

  function drawResult(result) {
    const picture = result.sheet_href
      ? make("img", { loading: "lazy", decoding: "async", src: result.sheet_href, alt: say("sheet_of", { name: result.name }) }) : null;
    if (picture) picture.addEventListener("error", () => picture.remove());
    const frame = make("span", { class: "sheet" }, picture);
    const name = title({ name: result.output || result.name });
    return make("li", { class: "card film" },
      result.film_href ? link(result.film_href, frame, name) : make("span", {}, frame, name),
      quiet(folder(result), result.film_s ? length(result.film_s) : null, clock(new Date(result.finished_at)),
        result.duplicate_of ? say("duplicate") : null, result.state === "cancelled" ? say("cancelled") : null));
  }

  const isNew = () => !told.waiting.length && !Object.values(told.counts).some(Boolean);

  function drawLists() {
    const { counts, queue, waiting, batches } = told;
    const here = waiting.filter((file) => !file.needs_you);
    const here_count = Math.max(here.length, told.waiting_count - (waiting.length - here.length));
    const day = new Date().toDateString();
    draw("results", [films(), day], () => section("results", "results", films(), drawResult, { count: 0 }));
    draw("queue", [queue, counts.queued, day, mood()], () => section("queue", "queue", queue, drawQueued, { count: counts.queued, ordered: true }));
    draw("batches", batches, () => section("batches", "batches", batches, drawBatch, { count: told.batch_count }));
    draw("arriving", [here, here_count, day], () => section("arriving", "arriving_list", here, drawWaiting, { count: here_count }));
    byId("side").hidden = !queue.length && !batches.length && !here.length;
    draw("welcome", isNew(), () => (isNew() ? [make("h2", {}, say("welcome")), make("p", { class: "flow", "aria-hidden": "true" },
      make("code", {}, "inbox/anna.mp4"), " + ", make("code", {}, "inbox/anna.wav"), " → ", make("code", {}, "outbox/anna.mp4")),
      make("p", { class: "quiet" }, say("welcome_more"))] : []));
  }

  function tile(n, label, note, kind, href) {
    const inside = [make("b", {}, kind === "needs" && !n ? "✓" : number(n)), make("span", {}, label), note ? make("small", {}, note) : null];
    return make("li", { class: n ? kind : "none" }, n && href ? link(href, inside) : make("div", {}, inside));
  }

  function drawTiles(needed) {
    const done = films().filter((film) => film.state === "done");
    const today = done.filter((film) => Date.now() - Date.parse(film.finished_at) < 864e5).length;
    const more = today === done.length && told.counts.done > done.length ? "+" : "";
    const note = today ? say("tile_day", { n: today }).replace(number(today), number(today) + more)
      : done.length ? say("tile_last", { time: clock(new Date(done[0].finished_at)) }) : null;
    const { counts } = told;
    draw("tiles", [counts, needed, note], () => [
      tile(counts.done, say("tile_done", { n: counts.done }), note, "done", "#results"),
      tile(counts.running, say("tile_running"), null, "running", "#work"),
      tile(counts.queued, say("tile_queued"), null, "queued", "#queue"),
      tile(needed, say(needed ? "tile_needs" : "tile_needs_none", { n: needed }), null, "needs", "#needs"),
    ]);
  }

  function sentences(now) {
    const time = clock(new Date(told.written_at));
    if (now === "stopped") return [say("says_stopped", { time, ago: ago(Date.parse(told.written_at)) }), say("says_stopped_todo")];
    if (now === "offline" || now === "paused") {
      const [text, todo] = advice(told.root.code) || [told.root.reason || "", say("says_" + now)];
      return [text + (told.root.code && told.root.reason ? ` (${told.root.reason})` : ""), todo];
    }
    const ends = told.queue_ends_at ? say("says_ends", { time: clock(new Date(told.queue_ends_at)) }) : "";
    if (now === "working") return [say("says_working", { n: told.counts.running }), ends];
    if (now === "queued") return [say("says_queued", { n: told.counts.queued }), ""];
    return [say(isNew() ? "says_new" : "says_" + now), ""];
  }

  const COLOURS = { working: "#2f6fed", queued: "#2f6fed", arriving: "#2f6fed", idle: "#1f8a55", paused: "#c77700", offline: "#c77700", stopped: "#c6362c" };

  function drawHead() {
    const now = mood();
    const name = told.root.path.split("/").pop() || told.root.path;
    byId("page").className = now;
    draw("root", name, () => [name]);
    draw("word", now, () => [say(now)]);
    const [first, second] = sentences(now);
    draw("sentence", first, () => [first]);
    const skewed = clocksDiffer_s() ? say("says_skewed", { much: span(clocksDiffer_s()) }) : "";
    draw("advice", [second, skewed], () => [second, second && skewed ? " " : "", skewed].filter(Boolean));
    document.title = `${say(now)} · ${name}`;
    const dot = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6" fill="${COLOURS[now]}"/></svg>`;
    byId("icon").setAttribute("href", "data:image/svg+xml," + encodeURIComponent(dot));
    draw("languages", 0, () => [["en", "English"], ["zh", "中文"]].map(([tag, text]) => make("a",
      { href: "#lang=" + tag, lang: tag, "aria-current": tag === lang ? "true" : null }, text)));
  }

  function drawFoot() {
    draw("foot", [told.version, told.host], () => [make("span", { id: "written" }), make("span", { id: "clock" }),
      make("span", {}, `heygemd ${told.version} · `, make("bdi", {}, told.host)), link("status.json", "status.json")]);
    const at = new Date(told.written_at);
    write(byId("written"), `${say("written", { time: clock(at, true) })} (${ago(at)})`);
    write(byId("clock"), say("your_clock", { time: clock(new Date(), true) }));
  }

  function drawAll() {
    drawTiles(drawNeeds());
    drawWork();
    drawLists();
    drawHead();
    drawFoot();
  }

  // Keeping fresh --------------------------------------------------------------------------------------------------

  let frame = null;
  let unanswered = 0;
  let answered = false;
  let timer = 0;
  const MOST_UNANSWERED = 3;

  function look() {
    clearTimeout(timer);
    const isBusy = told.running.length || told.counts.queued || told.waiting.length;
    timer = setTimeout(look, (isBusy ? BUSY_S : CALM_S) * 1000);
    if (!answered && unanswered >= MOST_UNANSWERED) return location.reload(); // a browser in which frames do not work
    unanswered += 1;
    if (frame) frame.remove();
    frame = make("iframe", { hidden: "", "aria-hidden": "true", tabindex: "-1", src: "?feed=" + Date.now() });
    document.body.append(frame);
  }

  function take(text) {
    const newer = JSON.parse(text);
    unanswered = 0;
    answered = true;
    if (newer.build !== told.build) return location.reload(); // heygemd was updated
    if (newer.written_at !== told.written_at) {
      sighted = performance.now();
      skew_s = (Date.now() - Date.parse(newer.written_at)) / 1000;
    }
    told = newer;
    drawAll();
  }

  addEventListener("message", (event) => {
    if (frame && event.source === frame.contentWindow) take(event.data);
  });
  addEventListener("hashchange", () => {
    speak(askedLanguage() || lang);
    drawAll();
  });
  document.addEventListener("visibilitychange", () => document.hidden || look());

  speak(askedLanguage() || readersLanguage() || "en");
  byId("plain").remove();
  byId("app").hidden = false;
  drawAll();
  setInterval(() => (drawHead(), drawFoot(), drawWork()), 1000);
  timer = setTimeout(look, BUSY_S * 1000);
})();
