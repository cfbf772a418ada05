// SPDX-License-Identifier: 0BSD
// A peer of the interop tests on Node's ws: "node peer.js ROLE URL SCENARIO [ARGUMENT ...]". ROLE is client or server;
// a server (URL is "-") prints its port and serves one connection. Exit 0: everything was as it should be.
'use strict';

const assert = require('assert');
const crypto = require('crypto');
const { pipeline, Readable } = require('stream');
const { WebSocket, WebSocketServer, createWebSocketStream } = require('ws');

const [role, url, scenario, ...args] = process.argv.slice(2);
const TOTAL = 64 * 1024 * 1024;
const SIZES = [1, 125, 126, 1000, 65535, 65536, 200001, 1048576];
const TEXTS = ['plain', 'gr\u00fc\u00df dich', '\u20ac', '\u{1f44b}', '', 'caf\u00e9 \u{1f600} \u4f60\u597d'];

// The same bytes on both sides, from a name.
function bytes(name, total) {
	return crypto.createHash('shake128', { outputLength: total }).update(name).digest();
}

function fail(error) {
	process.stderr.write(`peer.js ${process.argv.slice(2).join(' ')}: ${error && error.stack || error}\n`);
	process.exit(1);
}

process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
setTimeout(() => fail('out of time'), 110000).unref();

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

function run(ws) {
	ws.on('error', fail);
	scenarios[scenario](ws).then(() => process.exit(0), fail);
}

if (role === 'client') {
	run(new WebSocket(url));
} else {
	const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: 0 });
	server.on('listening', () => process.stdout.write(`${server.address().port}\n`));
	server.on('connection', run);
}
