// SPDX-License-Identifier: 0BSD
// The browser's end of the streams that streams.json names: upload, tail, echo, talk.

const SLICE = 256 * 1024;
const AHEAD = 4 * 1024 * 1024; // so many bytes unsent, and the page waits
const POLL_MS = 10; // there is no event for bufferedAmount
const STALLED_MS = 1000;
const MIB = 1024 * 1024;
const DIGEST_LIMIT = 256 * MIB; // WebCrypto wants all of it at once
const LOG_LIMIT = 100000; // characters

const NAMES = {
    1000: 'normal', 1001: 'going away', 1002: 'protocol error', 1003: 'unsupported data', 1005: 'no code',
    1006: 'no Close', 1007: 'invalid data', 1008: 'policy', 1009: 'too big', 1010: 'extension missing',
    1011: 'internal error',
};

const byId = id => document.getElementById(id);
const pause = ms => new Promise(done => setTimeout(done, ms));
const mib = bytes => `${(bytes / MIB).toFixed(1)} MiB`;

function rate(bytes, since) {
    const speed = bytes / 1000 / Math.max(performance.now() - since, 1);
    return `${speed.toFixed(speed < 10 ? 1 : 0)} MB/s`;
}

let streams = {};

function say(card, state, text) {
    byId(card).dataset.state = state;
    byId(`${card}-status`).textContent = text;
}

function spell({ code, reason }) {
    const name = NAMES[code] ? ` (${NAMES[code]})` : '';
    return `${code}${name}${reason ? ` “${reason}”` : ''}`;
}

// An end, as Stream's closed tells it.
function describe({ event, ours }) {
    if (!event.wasClean)
        return `Broken: ${spell(event)}`;
    return ours ? `Closed from here with ${spell(ours)}, answered with ${event.code}` :
        `Closed by the other end: ${spell(event)}`;
}

async function sha256(buffer) {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', buffer));
    return Array.from(digest, byte => byte.toString(16).padStart(2, '0')).join('');
}

// --- a stream: messages are pieces of it, wherever they are cut ---

class Stream {
    static open = new Set();

    constructor(name, query = {}) {
        const url = new URL(streams[name].url, location.href);
        url.protocol = url.protocol.replace('http', 'ws');
        for (const [key, value] of Object.entries(query))
            url.searchParams.set(key, value);
        this.socket = new WebSocket(url);
        this.socket.binaryType = 'arraybuffer';
        this.ours = null; // our Close; the event has that of the other end
        this.closed = new Promise(done =>
            this.socket.addEventListener('close', event => done({ event, ours: this.ours })));
        this.closed.then(() => Stream.open.delete(this));
        Stream.open.add(this);
    }

    // A page is not told why a connection was refused; the browser's console is.
    async opened() {
        const opening = new Promise(done => this.socket.addEventListener('open', done));
        const first = await Promise.race([opening, this.closed]);
        if (first.event)
            throw new Error(`Refused, or nobody is there: ${first.event.code}. The browser's console says more.`);
    }

    get isOpen() {
        return this.socket.readyState === WebSocket.OPEN;
    }

    receive(take) {
        this.socket.addEventListener('message', ({ data }) =>
            take(typeof data === 'string' ? new TextEncoder().encode(data) : new Uint8Array(data)));
    }

    // Until no more than limit bytes are unsent.
    async drain(limit, report) {
        const since = performance.now();
        while (this.isOpen && this.socket.bufferedAmount > limit) {
            report(this.socket.bufferedAmount, performance.now() - since > STALLED_MS);
            await pause(POLL_MS);
        }
    }

    // report(sent, stalled): bytes that have left the page. Ends early where the stream does.
    async send(blob, report) {
        let sent = 0;
        const unsent = (bytes, stalled) => report(sent - bytes, stalled);
        while (sent < blob.size) {
            const slice = await blob.slice(sent, sent + SLICE).arrayBuffer();
            if (!this.isOpen)
                return;
            this.socket.send(slice);
            sent += slice.byteLength;
            report(sent - this.socket.bufferedAmount, false);
            await this.drain(AHEAD, unsent);
        }
        await this.drain(0, unsent);
        report(sent, false);
    }

    // What was sent before goes out before the Close. What comes after it, the browser drops.
    close(code = 1000, reason = '') {
        const open = this.isOpen;
        this.socket.close(code, reason);
        if (open)
            this.ours = { code, reason };
        return this.closed;
    }
}

// A page that is left may live on in the browser's cache, connections and all. And a tab that is closed says 1001,
// which reads as the end of a file.
addEventListener('pagehide', () => Stream.open.forEach(stream => stream.close(4001, 'the page was left')));

// --- upload ---

function showUpload(file, sent, stalled, since) {
    const amount = `${mib(sent)} of ${mib(file.size)}`;
    byId('upload-progress').value = file.size ? sent / file.size : 1;
    byId('upload-amount').textContent = `${amount}, ${rate(sent, since)}`;
    const text = stalled ? 'Waiting for the other end.' : 'Sending.';
    if (byId('upload-status').textContent !== text)
        say('upload', 'busy', text);
}

// Returns the Close that came, or what kept it from coming.
async function upload(file) {
    const stream = new Stream('upload', { size: file.size });
    const since = performance.now();
    await stream.opened();
    const stop = () => stream.close(4000, 'stopped by the user');
    byId('upload-stop').disabled = false;
    byId('upload-stop').addEventListener('click', stop, { once: true });
    try {
        await stream.send(file, (sent, stalled) => showUpload(file, sent, stalled, since));
    } catch (error) {
        stream.close(4002, 'the file could not be read');
        throw error;
    } finally {
        byId('upload-stop').disabled = true;
        byId('upload-stop').removeEventListener('click', stop);
    }
    return stream.close();
}

async function startUpload(file) {
    byId('upload-digest').textContent = file.size > DIGEST_LIMIT ? `(not over ${mib(DIGEST_LIMIT)})` : '–';
    say('upload', 'busy', 'Connecting.');
    const end = await upload(file);
    if (end.event.wasClean && end.event.code === 1000)
        say('upload', 'good', `${describe(end)}. All ${file.size} bytes are there.`);
    else
        say('upload', 'bad', `${describe(end)}. Not all of it is there.`);
    if (file.size <= DIGEST_LIMIT)
        byId('upload-digest').textContent = await sha256(await file.arrayBuffer());
}

// --- tail ---

function append(text) {
    const log = byId('tail-log');
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
    log.append(text);
    if (log.textContent.length > LOG_LIMIT)
        log.textContent = log.textContent.slice(-LOG_LIMIT / 2).replace(/^.*\n/, '');
    if (atEnd)
        log.scrollTop = log.scrollHeight;
}

async function follow() {
    const stream = new Stream('tail');
    const decoder = new TextDecoder(); // characters may be cut, too
    say('tail', 'busy', 'Connecting.');
    byId('tail-log').textContent = '';
    stream.receive(bytes => append(decoder.decode(bytes, { stream: true })));
    await stream.opened();
    say('tail', 'good', 'Following.');
    const stop = () => stream.close();
    byId('tail-stop').disabled = false;
    byId('tail-stop').addEventListener('click', stop, { once: true });
    const end = await stream.closed;
    byId('tail-stop').disabled = true;
    byId('tail-stop').removeEventListener('click', stop);
    say('tail', end.event.wasClean ? '' : 'bad', `${describe(end)}.`);
}

// --- there and back ---

function randomBytes(size) {
    const data = new Uint8Array(size);
    for (let at = 0; at < size; at += 65536)
        crypto.getRandomValues(data.subarray(at, Math.min(at + 65536, size)));
    return data;
}

// Resolves to whether all of it came.
function collect(stream, data) {
    let at = 0;
    return new Promise(done => {
        stream.receive(bytes => {
            if (at + bytes.length > data.length)
                return stream.close(4003, 'more than was asked for');
            data.set(bytes, at);
            at += bytes.length;
            byId('echo-back').value = at / data.length;
            if (at === data.length)
                done(true);
        });
        stream.closed.then(() => done(false));
    });
}

async function thereAndBack(size) {
    say('echo', 'busy', 'Making random bytes.');
    for (const id of ['echo-sent', 'echo-received'])
        byId(id).textContent = '–';
    byId('echo-there').value = byId('echo-back').value = 0;
    await pause(0); // so that this shows
    const sent = randomBytes(size), received = new Uint8Array(size);
    const stream = new Stream('echo');
    const all = collect(stream, received);
    await stream.opened();
    say('echo', 'busy', 'Sending and receiving.');
    const since = performance.now();
    await stream.send(new Blob([sent]), bytes => { byId('echo-there').value = bytes / size; });
    if (!await all)
        throw new Error(`${describe(await stream.closed)}. Not all of it came back.`);
    const speed = rate(size, since);
    byId('echo-sent').textContent = await sha256(sent);
    byId('echo-received').textContent = await sha256(received);
    const same = byId('echo-sent').textContent === byId('echo-received').textContent;
    const end = await stream.close();
    say('echo', same ? 'good' : 'bad', `${describe(end)}. ${mib(size)} each way, ${speed}: ` +
        (same ? 'the same, byte for byte.' : 'what came is not what was sent.'));
}

// --- closing ---

const talkButtons = ['talk-close', 'talk-ask', 'talk-fail'];
let talking = null;

async function talk() {
    say('talk', 'busy', 'Connecting.');
    talking = new Stream('talk');
    await talking.opened();
    for (const id of talkButtons)
        byId(id).disabled = false;
    say('talk', 'good', 'Connected.');
    const end = await talking.closed;
    for (const id of talkButtons)
        byId(id).disabled = true;
    say('talk', end.event.wasClean ? 'good' : 'bad', `${describe(end)}.`);
}

function closeTalk() {
    try {
        talking.close(Number(byId('talk-code').value), byId('talk-reason').value);
    } catch (error) {
        say('talk', 'bad', error.message);
    }
}

// --- the page ---

// While it runs, its button is off.
async function run(card, button, action) {
    byId(button).disabled = true;
    try {
        await action();
    } catch (error) {
        say(card, 'bad', error.message);
    } finally {
        byId(button).disabled = false;
    }
}

function onSubmit(card, action) {
    byId(card).querySelector('form').addEventListener('submit', event => {
        event.preventDefault();
        action();
    });
}

function offer(card) {
    if (streams[card]) {
        byId(`${card}-command`).textContent = streams[card].command;
        return;
    }
    for (const control of byId(card).querySelectorAll('button, input, select'))
        control.disabled = true;
    say(card, '', 'Not offered here.');
}

async function start() {
    const answer = await fetch('streams.json');
    if (!answer.ok)
        throw new Error(`streams.json: ${answer.status}`);
    streams = await answer.json();
    ['upload', 'tail', 'echo', 'talk'].forEach(offer);
    onSubmit('upload', () => run('upload', 'upload-start', () => startUpload(byId('upload-file').files[0])));
    onSubmit('echo', () => run('echo', 'echo-start', () => thereAndBack(Number(byId('echo-size').value) * MIB)));
    onSubmit('talk', closeTalk);
    byId('tail-start').addEventListener('click', () => run('tail', 'tail-start', follow));
    byId('talk-open').addEventListener('click', () => run('talk', 'talk-open', talk));
    byId('talk-ask').addEventListener('click', () => talking.socket.send(new TextEncoder().encode('bye\n')));
    byId('talk-fail').addEventListener('click', () => talking.socket.send(new TextEncoder().encode('fail\n')));
    document.documentElement.dataset.ready = 'yes';
}

start().catch(error => { byId('notice').textContent = `This page could not be set up: ${error.message}`; });
