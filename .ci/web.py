"""Uses the selector's page in headless Chromium, as a person would: reads, clicks, reports an outcome.

    python3 web.py URL CHROMIUM PROFILE [SCREENSHOTS]

Speaks the DevTools protocol over a pipe, so it needs nothing but Python's standard library. Fails on: a step that does
not lead where it should, anything on the console, a violation of the content policy, a dialog, a failed request, a
request to another host, a page that is wider than a telephone.
"""

import base64
import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg onload=alert(3)>\x1b[31mred\u202e"
SECONDS = 30


class Browser:
    """Chromium and one tab of it."""

    def __init__(self, path, profile, base):
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()
        # High numbers, so that 3 and 4 are free in the child.
        child = [fcntl.fcntl(fd, fcntl.F_DUPFD, 50) for fd in (to_read, from_write)]
        flags = (
            "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
            "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars "
            "--remote-debugging-pipe"
        )
        command = f'exec "$0" {flags} --user-data-dir="$1" about:blank 3<&{child[0]} 4>&{child[1]}'
        self.process = subprocess.Popen(
            ["bash", "-c", command, path, profile], pass_fds=child, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        for fd in (to_read, from_write, *child):
            os.close(fd)
        self.out, self.into = os.fdopen(to_write, "wb", 0), os.fdopen(from_read, "rb", 0)
        self.buffer, self.last, self.session = b"", 0, None
        self.base, self.faults, self.requests = base, [], 0
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Audits"):
            self.call(f"{domain}.enable")
        self.size(1280, 900)

    def call(self, method, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def receive(self):
        while b"\0" not in self.buffer:
            part = self.into.read(65536)
            if not part:
                raise RuntimeError("the browser has gone")
            self.buffer += part
        message, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(message)
        if "method" in message:
            self.saw(message["method"], message["params"])
        return message

    def saw(self, event, params):
        if event == "Runtime.consoleAPICalled":
            self.faults.append(f"console: {[a.get('value', a.get('description')) for a in params['args']]}")
        elif event == "Runtime.exceptionThrown":
            self.faults.append(f"exception: {params['exceptionDetails']}")
        elif event == "Log.entryAdded":
            self.faults.append(f"log: {params['entry']['text']} {params['entry'].get('url', '')}")
        elif event == "Audits.issueAdded":
            if params["issue"]["code"] == "ContentSecurityPolicyIssue":
                self.faults.append(f"content policy: {params['issue']['details']}")
        elif event == "Page.javascriptDialogOpening":
            self.faults.append(f"dialog: {params['message']}")
        elif event == "Network.requestWillBeSent":
            self.requests += 1
            url = params["request"]["url"]
            if not url.startswith((self.base, "data:", "about:")):
                self.faults.append(f"request to another host: {url}")
        elif event == "Network.loadingFailed" and not params.get("canceled"):
            self.faults.append(f"failed request: {params['errorText']}")

    def size(self, width, height):
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def js(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, userGesture=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails'].get('exception', answer)}")
        return answer["result"].get("value")

    def wait(self, expression, what):
        deadline = time.monotonic() + SECONDS
        while True:
            # A page that is just being replaced has no document to ask.
            with contextlib.suppress(RuntimeError):
                if self.js(expression):
                    return
            if time.monotonic() > deadline:
                text = self.js("document.body ? document.body.innerText.slice(0, 1500) : 'nothing'")
                raise AssertionError(f"{what}: still not so after {SECONDS} s: {expression}\nfaults: {self.faults}\n{text}")
            time.sleep(0.05)

    def go(self, path):
        self.call("Page.navigate", url=self.base + path)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'", f"{path} loads")

    def click(self, selector):
        assert self.js(f"!!document.querySelector({json.dumps(selector)})"), f"there is no {selector}"
        self.js(f"document.querySelector({json.dumps(selector)}).click()")

    def picture(self, folder, name, height=None):
        if not folder:
            return
        width = self.js("document.documentElement.clientWidth")
        height = height or min(self.js("document.documentElement.scrollHeight"), 8000)
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        with open(os.path.join(folder, name), "wb") as file:
            file.write(base64.b64decode(data))

    def close(self):
        with contextlib.suppress(Exception):
            self.session = None
            self.call("Browser.close")
        self.process.wait(timeout=20)


def api(base, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data=data, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def hostile(base):
    """A selection with markup and terminal codes wherever a client can put them."""
    patch = f"--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@ {EVIL}\n-a\n+b = '{EVIL}'\n"
    turns = [
        {"role": "user", "content": EVIL},
        {"role": "assistant", "content": EVIL, "tool_calls": [{"name": EVIL, "arguments": json.dumps({EVIL: EVIL})}]},
        {"role": "tool", "content": EVIL * 50},
    ]
    name = EVIL.replace("\x1b", "")
    ids = [f"{name}/../{i}?#&=" for i in range(2)]
    body = {
        "instance_id": name,
        "issue": EVIL,
        "candidates": [{"candidate_id": c, "patch": patch, "turns": turns, "exit_raw": EVIL} for c in ids],
        "tests": [{"candidate_id": ids[0], "kind": "regression", "suite": EVIL, "results": {EVIL: "passed"}}],
    }
    return api(base, "/v1/selections", body)["id"]


def read(browser, base, shots):
    browser.go("/")
    browser.wait("document.querySelectorAll('#list th a').length >= 3", "the list shows the example set")
    browser.picture(shots, "list.png", 520)
    found = api(base, "/v1/selections")["selections"]
    shown = next(s for s in found if s["instance_id"].startswith("inkwell"))
    browser.go(f"/selections/{shown['id']}")
    browser.wait("document.querySelector('h1').textContent.startsWith('inkwell')", "a selection has its page")
    for part in ("#candidates tbody tr", "#candidate .lines tr.a", "#clusters li", "#tests .matrix td", "#scores tbody tr"):
        assert browser.js(f"document.querySelectorAll('{part}').length > 0"), f"the page has no {part}"
    browser.picture(shots, "selection.png")
    unlabelled = browser.js(
        "[...document.querySelectorAll('input:not([type=hidden]),select')].filter(i => !i.labels.length).length"
    )
    assert unlabelled == 0, f"{unlabelled} form fields have no label"
    headless = browser.js("[...document.querySelectorAll('table')].filter(t => !t.caption || !t.querySelector('th[scope]')).length")
    assert headless == 0, f"{headless} tables have no caption or no header cells"
    doubled = browser.js("(ids => ids.length - new Set(ids).size)([...document.querySelectorAll('[id]')].map(e => e.id))")
    assert doubled == 0, f"{doubled} ids are used twice"
    return shown


def show_candidate(browser, row):
    """Follows the link in a row of the ranking and waits until htmx has put the new panel in place."""
    browser.js("document.querySelector('#candidate').dataset.old = 'yes'")
    browser.click(f"#candidates tbody tr:nth-child({row}) th a")
    # htmx listens to new content only once it has settled.
    ready = "#candidate:not([data-old], .htmx-added, .htmx-settling)"
    shown = f"document.querySelector('{ready} #h-candidate').textContent.startsWith('{row}')"
    browser.wait(shown, f"candidate {row} is shown")


def click_through(browser, shots):
    browser.js("window.__same = true")
    show_candidate(browser, 2)
    assert browser.js("window.__same && location.search.startsWith('?candidate=')"), "htmx replaced the panel only"
    browser.js("history.back()")
    browser.wait("document.querySelector('#h-candidate').textContent.startsWith('1')", "going back works")
    with_turns = browser.js(
        "[...document.querySelectorAll('#candidates tbody th a')].findIndex(a => a.textContent.startsWith('sweagent'))"
    )
    show_candidate(browser, with_turns + 1)
    browser.js("document.querySelector('details.trajectory').open = true")
    browser.wait("document.querySelectorAll('details.turn').length > 2", "the trajectory is loaded when it is opened")
    browser.picture(shots, "trajectory.png")
    browser.js("document.querySelector('#compare form').requestSubmit()")
    browser.wait("document.querySelectorAll('#compared .pair > section').length === 2", "two candidates stand side by side")
    browser.picture(shots, "compare.png")


def report(browser, base, shown, shots):
    before = browser.js("document.querySelectorAll('#outcome .stored .tag').length")
    assert before == 0, "nothing was reported yet"
    browser.click("#outcome tr.chosen input[value=yes]")
    browser.click("#outcome tbody tr:last-child input[value=no]")
    browser.js("document.querySelector('#o-source').value = 'browser test'")
    browser.click("#outcome button.primary")
    browser.wait("(document.querySelector('#outcome .notice') || {}).textContent === '✓ Stored 2 outcomes.'", "the report is stored")
    browser.picture(shots, "outcome.png")
    browser.go(f"/selections/{shown['id']}")
    browser.wait("document.querySelectorAll('#outcome .stored .tag').length === 2", "the report is there after a reload")
    stored = {o["candidate_id"]: o["resolved"] for o in api(base, f"/v1/selections/{shown['id']}")["outcomes"]}
    assert stored.get(shown["chosen"]) is True and len(stored) == 2, f"the API has {stored}"
    browser.go("/?outcome=resolved")
    browser.wait("document.querySelectorAll('#list th a').length === 1", "the list can be filtered by outcome")
    browser.js("(f => { f.value = ''; f.dispatchEvent(new Event('change', {bubbles: true})) })(document.querySelector('#f-outcome'))")
    browser.wait("document.querySelectorAll('#list th a').length >= 3", "htmx follows the filter")


def without_scripts(browser, base, shown):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.go(f"/selections/{shown['id']}")
    browser.click("#candidates tbody tr:nth-child(3) th a")
    browser.wait("document.querySelector('#h-candidate').textContent.startsWith('3')", "links work without scripts")
    browser.js("document.querySelector('#compare form').submit()")
    browser.wait("location.pathname.endsWith('/compare') && document.querySelectorAll('.pair > section').length === 2", "comparing works without scripts")
    browser.go(f"/selections/{shown['id']}")
    browser.click("#outcome tr.chosen input[value=no]")
    browser.click("#outcome button.primary")
    browser.wait("location.search === '?reported=1'", "the form works without scripts")
    stored = {o["candidate_id"]: o["resolved"] for o in api(base, f"/v1/selections/{shown['id']}")["outcomes"]}
    assert stored[shown["chosen"]] is False, "the latest report counts"
    browser.call("Emulation.setScriptExecutionDisabled", value=False)


def stays_inert(browser, selection):
    browser.go(f"/selections/{selection}")
    browser.wait("!!document.querySelector('#candidate')", "the hostile selection has a page")
    browser.js("document.querySelector('details.trajectory').open = true")
    browser.wait("document.querySelectorAll('details.turn').length === 3", "its trajectory is loaded")
    show_candidate(browser, 2)
    browser.js("document.querySelector('#compare form').requestSubmit()")
    browser.wait("document.querySelectorAll('#compared .pair > section').length === 2", "also in forms")
    browser.click("#outcome tbody tr:last-child input[value=no]")
    browser.click("#outcome button.primary")
    browser.wait("!!document.querySelector('#outcome .notice.good')", "also in the report")
    alive = browser.js("document.querySelectorAll('main script, main img, main [onerror], main [onload], main style, main [style]').length")
    assert alive == 0, f"{alive} elements came from what an agent wrote"


def fits(browser, shown, shots):
    for width, dark, name in ((400, False, "narrow.png"), (1280, True, "dark.png")):
        browser.size(width, 900)
        scheme = "dark" if dark else "light"
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        for path in (f"/selections/{shown['id']}", "/", f"/selections/{shown['id']}/tests"):
            browser.go(path)
            wide = browser.js("document.documentElement.scrollWidth")
            assert wide <= width, f"{path} is {wide} pixels wide on a screen of {width}"
        browser.go(f"/selections/{shown['id']}")
        browser.picture(shots, name)


def refuses_other_sites(base, shown):
    request = urllib.request.Request(
        f"{base}/selections/{shown['id']}/outcome",
        data=b"resolved%3Ax=yes",
        headers={"origin": "http://evil.example", "content-type": "application/x-www-form-urlencoded"},
    )
    try:
        urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        assert error.code == 403, f"a form from another site was answered with {error.code}"
        return
    raise AssertionError("a form from another site was accepted")


def main():
    base, path, profile = sys.argv[1].rstrip("/"), sys.argv[2], sys.argv[3]
    shots = sys.argv[4] if len(sys.argv) > 4 else None
    if shots:
        os.makedirs(shots, exist_ok=True)
    started = time.monotonic()
    browser = Browser(path, profile, base)
    try:
        shown = read(browser, base, shots)
        click_through(browser, shots)
        report(browser, base, shown, shots)
        without_scripts(browser, base, shown)
        stays_inert(browser, hostile(base))
        fits(browser, shown, shots)
        refuses_other_sites(base, shown)
        assert not browser.faults, "the browser complained:\n  " + "\n  ".join(browser.faults)
    finally:
        browser.close()
    print(f"the page works: {browser.requests} requests, none to another host, in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
