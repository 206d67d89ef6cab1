import assert from "node:assert/strict";
import { createHash, webcrypto } from "node:crypto";
import { test } from "node:test";
import { fetchWithProof } from "./client.mjs";

globalThis.crypto ??= webcrypto; // Node 18

const puzzle = {
	algorithm: "SHA-256", maxnumber: 2000, salt: "salt?expires=1&", signature: "signature",
	challenge: createHash("sha256").update("salt?expires=1&" + 1234).digest("hex"),
};

test("a challenge is solved, and the request sent again", async () => {
	const seen = [];
	globalThis.fetch = async (url, init) => {
		seen.push({ url, method: init.method, body: init.body, headers: new Headers(init.headers) });
		if (seen.length === 2) return new Response("done");
		return new Response(JSON.stringify({ captcha: { challenge: puzzle } }), { status: 403, headers: { "Captcha-Required": "pow" } });
	};
	const answer = await fetchWithProof("/login", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
	assert.equal(await answer.text(), "done");
	assert.equal(seen.length, 2);
	const { url, method, body, headers } = seen[1];
	assert.deepEqual({ url, method, body }, { url: "/login", method: "POST", body: "{}" });
	assert.equal(headers.get("Content-Type"), "application/json");
	const { maxnumber, ...rest } = puzzle;
	assert.deepEqual(JSON.parse(atob(headers.get("Captcha-Token"))), { ...rest, number: 1234 });
});

test("an answer without a challenge is the answer", async () => {
	let calls = 0;
	globalThis.fetch = async () => { calls++; return new Response("ok"); };
	assert.equal(await (await fetchWithProof("/x", {})).text(), "ok");
	assert.equal(calls, 1);
});
