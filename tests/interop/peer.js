// SPDX-License-Identifier: 0BSD
// A peer of the interop tests on Node's ws: "node peer.js [SETTING ...] ROLE URL SCENARIO [ARGUMENT ...]".
// ROLE is client or server; a server (URL is "-") prints its port and serves one connection. Exit 0: everything was as
// it should be. The settings:
//   --total=BYTES             each way in a transfer, 64 MiB
//   --cert=FILE --key=FILE    its certificate; a server speaks TLS then
//   --ca=FILE                 whom to trust; a server wants a certificate of its clients then
//   --deflate=PARAMETER,...   permessage-deflate, offered or accepted with these parameters of RFC 7692; "off": not at
//                             all; without this setting as ws does by itself
//   --agreed=server:BITS:HOW,client:BITS:HOW
//                             what must be agreed on, HOW is "kept" (context takeover) or "fresh"; or "none"
'use strict';

const assert = require('assert');
const crypto = require('crypto');
const fs = require('fs');
const https = require('https');
const { pipeline, Readable } = require('stream');
const { WebSocket, WebSocketServer, createWebSocketStream } = require('ws');

const settings = { total: '67108864' };
const words = process.argv.slice(2);
while (words.length > 0 && words[0].startsWith('--')) {
	const [, name, value] = /^--([a-z]+)=(.*)$/.exec(words.shift());
	settings[name] = value;
}
const [role, url, scenario, ...args] = words;
const TOTAL = Number(settings.total);
const SIZES = [1, 125, 126, 1000, 65535, 65536, 200001, 1048576];
const TEXTS = ['plain', 'gr\u00fc\u00df dich', '\u20ac', '\u{1f44b}', '', 'caf\u00e9 \u{1f600} \u4f60\u597d'];

// The same bytes on both sides, from a name. Every second 64 KiB can be compressed.
function bytes(name, total) {
	const data = crypto.createHash('shake128', { outputLength: total }).update(name).digest();
	const letters = Buffer.from('etaoin shrdlucm\n');
	for (let block = 65536; block < total; block += 131072) {
		for (let i = block, end = Math.min(block + 65536, total); i < end; i++)
			data[i] = letters[data[i] & 15];
	}
	return data;
}

function fail(error) {
	process.stderr.write(`peer.js ${process.argv.slice(2).join(' ')}: ${error && error.stack || error}\n`);
	process.exit(1);
}

process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
setTimeout(() => fail('out of time'), 110000 + TOTAL / 1000).unref();

function send(ws, data, options) {
	return new Promise((resolve, reject) => ws.send(data, options, (error) => error ? reject(error) : resolve()));
}

function closed(ws) {
	return new Promise((resolve) => ws.on('close', (code, reason) => resolve({ code, reason: reason.toString() })));
}

// Everything that comes must be want; resolves when all of it is here.
function receive(ws, want) {
	let offset = 0;
	return new Promise((resolve) => {
		ws.on('message', (data, isBinary) => {
			assert(isBinary, 'a text came');
			assert(want.subarray(offset, offset + data.length).equals(data), `wrong bytes at ${offset}`);
			offset += data.length;
			if (offset === want.length)
				resolve();
		});
	});
}

// Sends a ping and resolves when its pong is here.
function pinged(ws, text) {
	return new Promise((resolve) => {
		ws.on('pong', function answer(payload) {
			if (payload.toString() === text)
				resolve(ws.removeListener('pong', answer));
		});
		ws.ping(text);
	});
}

// Messages of all sizes, each third one in fragments with an empty one among them, some of these with a ping between
// the fragments, whose pong must come before the message goes on.
async function transmit(ws, data) {
	for (let offset = 0, i = 0; offset < data.length; i++) {
		const piece = data.subarray(offset, offset + SIZES[i % SIZES.length]);
		offset += piece.length;
		if (i % 3 !== 0) {
			await send(ws, piece, { binary: true });
			continue;
		}
		const cut = piece.length >> 1;
		await send(ws, piece.subarray(0, cut), { binary: true, fin: false });
		if (i % 30 === 0)
			await pinged(ws, `ping ${i}`);
		await send(ws, piece.subarray(0, 0), { binary: true, fin: false });
		await send(ws, piece.subarray(cut), { binary: true, fin: true });
	}
}

const scenarios = {
	// 64 MiB each way at once; then ARGUMENT 1 says who closes: "library" or "peer".
	async transfer(ws) {
		const end = closed(ws), received = receive(ws, bytes('library', TOTAL));
		await opened(ws);
		await transmit(ws, bytes('peer', TOTAL));
		await received;
		if (args[0] === 'peer')
			ws.close(1000, 'peer is done');
		const { code, reason } = await end;
		assert.strictEqual(code, 1000);
		if (args[0] !== 'peer')
			assert.strictEqual(reason, 'library is done');
	},

	// The library closes with code ARGUMENT 1 and reason ARGUMENT 2.
	async closed(ws) {
		assert.deepStrictEqual(await closed(ws), { code: Number(args[0]), reason: args[1] });
	},

	// The peer closes with code ARGUMENT 1 (0 = none) and reason ARGUMENT 2, and must be answered with ARGUMENT 3.
	async close(ws) {
		const end = closed(ws);
		await opened(ws);
		await send(ws, 'before', { binary: true });
		if (args[0] === '0')
			ws.close();
		else
			ws.close(Number(args[0]), args[1]);
		assert.strictEqual((await end).code, Number(args[2]));
	},

	// Texts both ways, one of them cut inside a character.
	async text(ws) {
		const end = closed(ws);
		let got = '';
		ws.on('message', (data, isBinary) => {
			assert(!isBinary, 'a binary came');
			got += data.toString();
		});
		await opened(ws);
		for (const text of TEXTS)
			await send(ws, text);
		const whole = Buffer.from('\u{1f44b}!');
		await send(ws, whole.subarray(0, 2), { binary: false, fin: false });
		await pinged(ws, 'mid');
		await send(ws, whole.subarray(2), { binary: false, fin: true });
		assert.strictEqual((await end).code, 1000);
		assert.strictEqual(got, 'h\u00e9llo \u20ac \u{1f44b}');
	},

	// The library answers only when it has seen our Close.
	async late(ws) {
		const end = closed(ws);
		const received = receive(ws, bytes('answer', 1048576));
		await opened(ws);
		await send(ws, bytes('question', 1048576), { binary: true });
		ws.close(1000, 'that was all');
		await received;
		assert.strictEqual((await end).code, 1000);
	},

	// What comes goes back, through a stream.
	async echo(ws) {
		const end = closed(ws), stream = createWebSocketStream(ws);
		stream.pipe(stream);
		assert.deepStrictEqual(await end, { code: 1000, reason: 'library is done' });
	},

	// The library sends back what comes; then the peer closes.
	async echoed(ws) {
		const data = bytes('peer', TOTAL), end = closed(ws), received = receive(ws, data);
		await opened(ws);
		await transmit(ws, data);
		await received;
		ws.close(1000, 'peer is done');
		assert.strictEqual((await end).code, 1000);
	},

	// A stream written to and ended: its Close has no code.
	async source(ws) {
		const end = closed(ws), stream = createWebSocketStream(ws), data = bytes('peer', TOTAL);
		const pieces = [];
		for (let offset = 0; offset < data.length; offset += 100000)
			pieces.push(data.subarray(offset, offset + 100000));
		stream.resume();
		await new Promise((resolve, reject) => pipeline(Readable.from(pieces), stream,
			(error) => error ? reject(error) : resolve()));
		assert.strictEqual((await end).code, 1000);
	},
};

function opened(ws) {
	return ws.readyState === WebSocket.OPEN ? null : new Promise((resolve) => ws.once('open', resolve));
}

// As the settings' --deflate says, in the words of ws.
function deflateOptions() {
	if (settings.deflate === undefined)
		return {};
	if (settings.deflate === 'off')
		return { perMessageDeflate: false };
	// A client that does not offer this one has to say so.
	const options = { threshold: 0, clientMaxWindowBits: role === 'client' ? false : undefined };
	for (const parameter of settings.deflate.split(',').filter(Boolean)) {
		const [name, value] = parameter.split('=');
		const ours = name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
		options[ours] = value === undefined ? true : Number(value);
	}
	return { perMessageDeflate: options };
}

function checkAgreed(ws) {
	const deflate = ws._extensions['permessage-deflate'];
	if (settings.agreed === 'none')
		return assert(!deflate, 'compression was agreed on');
	assert(deflate, 'no compression was agreed on');
	const side = (name) => `${name}:${deflate.params[`${name}_max_window_bits`] || 15}:` +
		(deflate.params[`${name}_no_context_takeover`] ? 'fresh' : 'kept');
	assert.strictEqual(`${side('server')},${side('client')}`, settings.agreed);
}

// About three quarters of a transfer's bytes remain. With a window of 8 bits zlib can't compress.
function checkCompressed(socket) {
	if (scenario !== 'transfer' || /none|:8:/.test(settings.agreed))
		return;
	for (const count of [socket.bytesRead, socket.bytesWritten])
		assert(count < TOTAL * 0.9, `${count} bytes on the wire for ${TOTAL}`);
}

async function run(ws) {
	ws.on('error', fail);
	const played = scenarios[scenario](ws);
	await opened(ws);
	const socket = ws._socket;
	if (settings.agreed !== undefined)
		checkAgreed(ws);
	await played;
	if (settings.agreed !== undefined)
		checkCompressed(socket);
	process.exit(0);
}

function fileOf(name) {
	return settings[name] === undefined ? undefined : fs.readFileSync(settings[name]);
}

function serve(tls, options) {
	const place = { host: '127.0.0.1', port: 0 };
	const web = tls.cert ? https.createServer({ ...tls, requestCert: tls.ca !== undefined }) : null;
	const server = new WebSocketServer({ ...options, ...(web ? { server: web } : place) });
	server.on('listening', () => process.stdout.write(`${server.address().port}\n`));
	server.on('connection', run);
	if (web)
		web.listen(place);
}

const options = { maxPayload: 0, ...deflateOptions() };
const tls = { cert: fileOf('cert'), key: fileOf('key'), ca: fileOf('ca') };
if (role === 'client')
	run(new WebSocket(url, { ...options, ...tls }));
else
	serve(tls, options);
