"""A Chromium without a window, driven over its debugging pipe: no port, no driver, nothing to install."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

LIMIT_S = 60.0
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--force-device-scale-factor=1", "--lang=en-US",
)  # fmt: skip
_WATCH = """
window.violations = []; window.attacks = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
window.alert = window.attack = (what) => { attacks.push(String(what)); };
"""


def find_chromium() -> str | None:
    """The browser's path, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Chromium:
    """One browser process; speaks the DevTools protocol, messages end in a zero byte."""

    def __init__(self, profile: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        argv = [str(find_chromium()), *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # The browser reads from descriptor 3 and writes to 4, whatever numbers ours have.
        script = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", script, "sh", *argv],
            pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "TZ": "UTC"},
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def ask(self, method: str, session: str | None = None, /, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result; what the browser says meanwhile is kept in `events`."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._out, json.dumps(message).encode() + b"\0")
        ends_s = time.monotonic() + LIMIT_S
        while True:
            told = self.hear(ends_s)
            if told.get("id") == number:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]

    def hear(self, ends_s: float) -> dict[str, Any]:
        """Return the next message of the browser; events are kept, too."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, ends_s - time.monotonic()))
            assert ready, "the browser says nothing"
            self._buffer += os.read(self._in, 1 << 20)
        text, _, self._buffer = self._buffer.partition(b"\0")
        told: dict[str, Any] = json.loads(text)
        if "method" in told:
            self.events.append(told)
        return told


class Tab:
    """One page, as a person sees it."""

    def __init__(self, browser: Chromium) -> None:
        self._browser = browser
        self._target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.ask("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        browser.events.clear()
        for domain in ("Page", "Runtime", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)

    def ask(self, method: str, /, **parameters: Any) -> dict[str, Any]:
        """Send a command that is about this page."""
        return self._browser.ask(method, self._session, **parameters)

    def close(self) -> None:
        """Close the tab."""
        self._browser.ask("Target.closeTarget", targetId=self._target)

    def read_as(self, languages: str = "en-US,en", *, dark: bool = False, width: int = 1440, height: int = 900) -> None:
        """Become the browser of a certain reader; before `open`."""
        agent = self._browser.ask("Browser.getVersion")["userAgent"]
        self.ask("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=languages)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme, still])
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def without_scripts(self) -> None:
        """Be a viewer that runs no script."""
        self.ask("Emulation.setScriptExecutionDisabled", value=True)

    def open(self, page: Path, tail: str = "") -> None:
        """Open a file, and wait until it has loaded."""
        self._browser.events.clear()
        self.ask("Page.navigate", url=page.as_uri() + tail)
        self.wait_for_event("Page.loadEventFired")

    def wait_for_event(self, name: str) -> None:
        """Wait for an event since the last `open`, or since `forget_events`."""
        ends_s = time.monotonic() + LIMIT_S
        while not any(
            event["method"] == name and event.get("sessionId") == self._session for event in self._browser.events
        ):
            self._browser.hear(ends_s)

    def requests(self) -> list[str]:
        """Every address that was asked for since `open`."""
        sent = [event for event in self._browser.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def let_time_pass(self, seconds: float) -> None:
        """Let the page's clocks run as fast as it can follow."""
        self._browser.events.clear()
        self.ask("Emulation.setVirtualTimePolicy", policy="pauseIfNetworkFetchesPending", budget=seconds * 1000)
        self.wait_for_event("Emulation.virtualTimeBudgetExpired")

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression in the page."""
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def text(self, place: str = "body") -> str:
        """The words that a person sees there; empty when it is hidden."""
        return str(self.run(f"(document.querySelector({json.dumps(place)}) || {{}}).innerText || ''"))

    def count(self, selector: str) -> int:
        """How many elements match."""
        return int(self.run(f"document.querySelectorAll({json.dumps(selector)}).length"))

    def photograph(self, file: Path, *, whole: bool = True) -> bytes:
        """Write a picture of the page: of all of it, or of what is in the window."""
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            self.ask("Emulation.setDeviceMetricsOverride", width=int(size["width"]), height=int(size["height"]),
                     deviceScaleFactor=1, mobile=False)  # fmt: skip
        self.wait_for_pictures()
        data = base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return data

    def wait_for_pictures(self) -> None:
        """Wait until every picture in the window has loaded or failed."""
        self.run("""new Promise((done) => setTimeout(() => Promise.all([...document.images].filter(
            (one) => !one.complete && one.checkVisibility() && one.getBoundingClientRect().top < innerHeight
        ).map((one) => new Promise((seen) => { one.onload = one.onerror = seen; }))).then(() => done(true)), 100))""")
