//! A browser for tests of pages: Chromium without a window, spoken to over its debugging pipe.
//!
//! The pipe carries [DevTools messages](https://chromedevtools.github.io/devtools-protocol/), JSON with a zero byte
//! behind each. It needs no port and no WebSocket, and what is asked runs beside the page's content security policy,
//! which therefore stays as it is while the page is looked at.

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Names under which distributions install it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// How long one answer may take: a debug build's largest page on a busy machine, with room.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running browser. It ends when this is dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    pipe: Option<ChildStdin>,
    answers: Receiver<Value>,
    reader: Option<JoinHandle<()>>,
    asked: u64,
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one; none when no Chromium is installed.
    ///
    /// # Errors
    /// When it is installed and does not start.
    pub fn start() -> Result<Option<Self>> {
        let installed = |name: &&&str| {
            Command::new(name)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|s| s.success())
        };
        let Some(name) = NAMES.iter().find(installed) else { return Ok(None) };
        let profile = tempfile::tempdir().context("a folder for the browser")?;
        // Chromium reads from descriptor 3 and writes to 4; a shell puts our two pipes there. The sandbox wants rights
        // that containers do not give, and the pages are our own.
        let script = "exec \"$0\" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
                      --no-first-run --disable-background-networking --disable-component-update \
                      --user-data-dir=\"$1\" --remote-debugging-pipe about:blank 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut child = Command::new("sh")
            .args(["-c", script, *name])
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let pipe = child.stdin.take().context("the browser has no input")?;
        let output = child.stdout.take().context("the browser has no output")?;
        let (sender, answers) = channel();
        let reader = std::thread::spawn(move || {
            let messages = BufReader::new(output).split(0).map_while(Result::ok);
            for message in messages.filter_map(|bytes| serde_json::from_slice(&bytes).ok()) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let (asked, events) = (0, Vec::new());
        Ok(Some(Self { child, pipe: Some(pipe), answers, reader: Some(reader), asked, events, _profile: profile }))
    }

    /// Asks for something and waits for its answer; events that come meanwhile are kept.
    fn ask(&mut self, session: Option<&str>, method: &str, params: &Value) -> Result<Value> {
        self.asked += 1;
        let id = self.asked;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        let pipe = self.pipe.as_mut().context("the browser has ended")?;
        pipe.write_all(&bytes)
            .and_then(|()| pipe.flush())
            .with_context(|| format!("asking the browser for {method}"))?;
        loop {
            let answer = self.answers.recv_timeout(PATIENCE).with_context(|| format!("no answer to {method}"))?;
            if answer["id"] == json!(id) {
                return match answer.get("error") {
                    Some(error) => bail!("{method}: {error}"),
                    None => Ok(answer["result"].clone()),
                };
            }
            self.events.push(answer);
        }
    }

    /// Opens an empty page of this size.
    ///
    /// # Errors
    /// When the browser does not do it.
    pub fn page(&mut self, width: u32, height: u32) -> Result<Page<'_>> {
        self.events.clear();
        let target = self.ask(None, "Target.createTarget", &json!({"url": "about:blank"}))?;
        let target = target["targetId"].as_str().context("no target")?.to_owned();
        let attached = self.ask(None, "Target.attachToTarget", &json!({"targetId": target, "flatten": true}))?;
        let session = attached["sessionId"].as_str().context("no session")?.to_owned();
        let mut page = Page { browser: self, session, target };
        for method in ["Page.enable", "Runtime.enable", "Network.enable", "Log.enable"] {
            page.ask(method, &json!({}))?;
        }
        page.resize(width, height)?;
        Ok(page)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _already_gone = self.ask(None, "Browser.close", &json!({}));
        // Without its pipe it ends by itself, should it not have understood.
        self.pipe = None;
        let _reaped = self.child.wait();
        let _joined = self.reader.take().map(JoinHandle::join);
    }
}

/// A page in it.
#[derive(Debug)]
pub struct Page<'a> {
    browser: &'a mut Browser,
    session: String,
    target: String,
}

impl Page<'_> {
    fn ask(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.browser.ask(Some(&self.session), method, params)
    }

    /// Gives it another size; below 600 pixels it is a phone.
    ///
    /// # Errors
    /// When the browser does not do it.
    pub fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.ask("Emulation.setDeviceMetricsOverride", &size).map(drop)
    }

    /// How it is shown: `screen` or `print`, `light` or `dark`.
    ///
    /// # Errors
    /// When the browser does not do it.
    pub fn media(&mut self, media: &str, scheme: &str) -> Result<()> {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.ask("Emulation.setEmulatedMedia", &json!({"media": media, "features": features})).map(drop)
    }

    /// Whether the page's own scripts run.
    ///
    /// # Errors
    /// When the browser does not do it.
    pub fn without_scripts(&mut self) -> Result<()> {
        self.ask("Emulation.setScriptExecutionDisabled", &json!({"value": true})).map(drop)
    }

    /// Opens a file and waits until it is there.
    ///
    /// # Errors
    /// When it can not be opened.
    pub fn open(&mut self, file: &std::path::Path) -> Result<()> {
        let url = format!("file://{}", file.display());
        let answer = self.ask("Page.navigate", &json!({"url": url}))?;
        if let Some(error) = answer.get("errorText") {
            bail!("{url}: {error}");
        }
        let loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.browser.events.iter().any(loaded) {
            let event = self.browser.answers.recv_timeout(PATIENCE).with_context(|| format!("{url} does not load"))?;
            self.browser.events.push(event);
        }
        self.browser.events.retain(|event| !loaded(event));
        Ok(())
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// When it throws.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.ask("Runtime.evaluate", &params)?;
        match answer.get("exceptionDetails") {
            Some(error) => Err(anyhow!("{expression}: {error}")),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// What it asked the network for, the file itself left out.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let sent = self.browser.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        let urls = sent.filter_map(|event| event["params"]["request"]["url"].as_str());
        urls.filter(|url| !url.starts_with("file://") && !url.starts_with("data:")).map(str::to_owned).collect()
    }

    /// What it complained of: errors of scripts, and what its policy refused.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let bad = |event: &&Value| {
            event["method"] == "Runtime.exceptionThrown"
                || event["method"] == "Log.entryAdded" && event["params"]["entry"]["level"] == "error"
        };
        self.browser.events.iter().filter(bad).map(|event| event["params"].to_string()).collect()
    }

    /// A picture of the whole page as base64 of a PNG.
    ///
    /// # Errors
    /// When the browser does not do it.
    pub fn screenshot(&mut self) -> Result<String> {
        let answer = self.ask("Page.captureScreenshot", &json!({"format": "png", "captureBeyondViewport": true}))?;
        answer["data"].as_str().map(str::to_owned).context("no picture")
    }

    /// The page on paper, as base64 of a PDF.
    ///
    /// # Errors
    /// When the browser does not do it.
    pub fn pdf(&mut self) -> Result<String> {
        let answer = self.ask("Page.printToPDF", &json!({"preferCSSPageSize": true, "printBackground": false}))?;
        answer["data"].as_str().map(str::to_owned).context("no document")
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        let _already_gone = self.browser.ask(None, "Target.closeTarget", &json!({"targetId": self.target}));
    }
}
