'use strict';
(() => {
	const every = 3000;
	const day = 24 * 3600e3;
	const svgNS = 'http://www.w3.org/2000/svg';
	const $ = (id) => document.getElementById(id);
	const token = document.querySelector('meta[name=drill-token]').content;
	const cards = new Map(); // by the provider's id
	let skew = 0; // between Caddy's clock and the browser's
	let last = null; // the last document
	let awaySince = null;
	let timer = 0;

	const now = () => Date.now() + skew;

	// el makes an element. Everything is put in as text.
	function el(name, attributes = {}, ...children) {
		const e = document.createElement(name);
		for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
		e.append(...children);
		return e;
	}

	// say changes a text only where it differs, so that nothing is announced twice.
	function say(e, text, className) {
		if (e.textContent !== text) e.textContent = text;
		if (className !== undefined && e.className !== className) e.className = className;
	}

	function age(ms) {
		const s = Math.max(0, Math.floor(ms / 1000));
		if (s < 60) return `${s} s`;
		if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
		if (s < 48 * 3600) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
		return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
	}
	const since = (time) => age(now() - Date.parse(time));
	const clock = (ms) => new Date(ms).toLocaleTimeString();
	const date = (time) => new Date(time).toLocaleString(undefined, {dateStyle: 'medium', timeStyle: 'medium'});
	const count = (n, what) => `${n} ${what}${n === 1 ? '' : 's'}`;

	const isDown = (p) => p.state === 'down' || p.state === 'recovering';
	const lasting = (p) => p.outages.find((o) => !o.end && !o.drill);
	const inTrouble = (p) => p.misconfigured || (isDown(p) && (!p.drill || Boolean(lasting(p))));
	const nameOf = (p) => last.providers.some((o) => o.name === p.name && o.id !== p.id) ? `${p.name} ${p.id}` : p.name;

	// stateOf is the word for what somebody must know first, and its colour.
	function stateOf(p) {
		if (p.misconfigured) return ['refuses our keys', 'bad'];
		if (inTrouble(p)) return [p.state, 'bad'];
		if (p.drill) return ['drill', 'warn'];
		if (p.throttled_until) return ['throttled', 'warn'];
		if (p.state === 'suspect') return ['suspect', 'warn'];
		return p.state === 'up' ? ['up', 'good'] : ['not asked yet', ''];
	}

	const situations = {
		unreachable: 'The provider is down',
		client_reported: 'A browser says that it is, and we see it up',
		provider_failover: 'It passes visitors because of trouble of its own',
		throttled: 'Its quota is spent',
		misconfigured: 'It refuses our keys',
		widget_blocked: 'A browser cannot load its widget',
	};

	// words for actions: all but these two situations are of single visitors.
	const words = (situation) => ['unreachable', 'misconfigured'].includes(situation)
		? {allow: 'everybody is let in', deny: 'everybody is denied', challenge: 'everybody is challenged again', fallback: 'the next provider’s challenge'}
		: {allow: 'the visitor is let in', deny: 'the visitor is denied', challenge: 'the visitor is challenged again', fallback: 'the next provider’s challenge'};

	function outcome(a, mode) {
		if (mode === 'signal') return 'forwarded; the app is told';
		if (a.fallback) return `falls back to ${a.fallback}`;
		return words(a.situation)[a.action] ?? a.action;
	}

	// outcomes is what happens to requests that need a provider now.
	function outcomes(p) {
		const found = new Set();
		for (const d of last.policies) {
			if (d.chain[0].id !== p.id || !d.situation) continue;
			found.add(outcome(d.actions.find((a) => a.situation === d.situation), d.mode));
		}
		return [...found].join('; ');
	}

	function newCard(p) {
		const card = {
			title: el('h3'), badge: el('span', {class: 'badge'}), button: el('button', {type: 'button'}),
			facts: el('p', {class: 'quiet'}), note: el('p'), evidence: el('p', {class: 'evidence'}),
			strip: document.createElementNS(svgNS, 'svg'),
		};
		card.strip.setAttribute('viewBox', '0 0 1440 24');
		card.strip.setAttribute('preserveAspectRatio', 'none');
		card.strip.setAttribute('role', 'img');
		card.root = el('li', {}, el('div', {class: 'head'}, card.title, card.badge, card.button), card.facts, card.note, card.evidence, card.strip,
			el('div', {class: 'axis quiet', 'aria-hidden': 'true'}, el('span', {}, '24 hours ago'), el('span', {}, 'now')));
		card.button.addEventListener('click', () => press(p.id));
		return card;
	}

	function drawProvider(card, p) {
		const [word, tone] = stateOf(p);
		const name = nameOf(p);
		say(card.title, name);
		say(card.badge, word, `badge ${tone}`);
		say(card.button, p.drill ? 'End the drill' : 'Drill …');
		card.button.setAttribute('aria-label', p.drill ? `End the drill of ${name}` : `Drill ${name} …`);
		const probe = p.last_probe ? `last probe ${since(p.last_probe.at)} ago: ${p.last_probe.ok ? 'good' : 'bad'}` : 'not probed yet';
		const start = p.drill ? (p.outages.findLast((o) => o.drill && !o.end) ?? {start: p.since}).start : p.since;
		say(card.facts, [`${word} for ${since(start)}`, probe, `bypass_check ${p.bypass_check}`, `${count(p.failed_over, 'request')} diverted`].join(' · '));
		let note = outcomes(p);
		if (note) note = `Now: ${note}.`;
		if (p.throttled_until) note += ` Quota spent until ${date(p.throttled_until)}.`;
		if (inTrouble(p) && !p.misconfigured && !p.reached) note += ' Never reached since the start: check the egress firewall.';
		say(card.note, note);
		card.note.hidden = !note;
		const evidence = p.last_probe && !p.last_probe.ok && !p.drill ? p.last_probe.error : '';
		say(card.evidence, evidence);
		card.evidence.hidden = !evidence;
		drawStrip(card.strip, p, name);
	}

	// drawStrip shows the last 24 hours: outages are high and drills less so, for
	// those who do not see the colours. A minute is one unit.
	function drawStrip(strip, p, name) {
		const end = now();
		const begin = end - day;
		const x = (ms) => Math.max(0, Math.min(1440, (ms - begin) / 60e3));
		const rects = [];
		const add = (className, from, to, y, least) => {
			const width = Math.max(to - from, least);
			rects.push([className, Math.min(from, 1440 - width), y, width, 24 - y]);
		};
		const known = p.state === 'unknown' && !p.outages.length ? end : Date.parse(last.started);
		add('dim', 0, 1440, 14, 0);
		if (known < end) add('up', x(known), 1440, 14, 0);
		let outages = 0;
		let sum = 0;
		for (const o of [...p.outages].sort((a, b) => b.drill - a.drill)) { // drills below outages
			const to = o.end ? Date.parse(o.end) : end;
			if (to < begin) continue;
			add(o.drill ? 'drill' : 'out', x(Date.parse(o.start)), x(to), o.drill ? 7 : 0, 4);
			if (!o.drill) {
				outages++;
				sum += to - Math.max(begin, Date.parse(o.start));
			}
		}
		strip.setAttribute('aria-label', `${name}, the last 24 hours: ${outages ? `${count(outages, 'outage')}, ${age(sum)} in all` : 'no outage'}`);
		strip.replaceChildren(...rects.map(([className, ...box]) => {
			const r = document.createElementNS(svgNS, 'rect');
			r.setAttribute('class', className);
			['x', 'y', 'width', 'height'].forEach((key, i) => r.setAttribute(key, box[i].toFixed(2)));
			return r;
		}));
	}

	function drawProviders() {
		const order = {bad: 0, warn: 1};
		const rank = (p) => order[stateOf(p)[1]] ?? 2;
		const list = $('providers');
		const sorted = [...last.providers].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
		for (const [id, card] of cards) {
			if (sorted.some((p) => p.id === id)) continue;
			card.root.remove();
			cards.delete(id);
		}
		sorted.forEach((p, i) => {
			if (!cards.has(p.id)) cards.set(p.id, newCard(p));
			const card = cards.get(p.id);
			drawProvider(card, p);
			// what has the focus stays where it is
			if (list.children[i] !== card.root && !list.contains(document.activeElement)) list.insertBefore(card.root, list.children[i] ?? null);
			else if (!card.root.isConnected) list.append(card.root);
		});
	}

	// redraw replaces a part of the page where its content has changed.
	function redraw(parent, content, make) {
		const key = JSON.stringify(content);
		if (parent.dataset.key === key) return;
		parent.dataset.key = key;
		parent.replaceChildren(...make());
	}

	function drawPolicies() {
		redraw($('policies'), last.policies, () => last.policies.length ? last.policies.map((d) => {
			const rows = d.actions.map((a) => {
				const holds = a.situation === d.situation;
				let text = outcome(a, d.mode);
				if (a.for && a.until && Date.parse(a.until) > now()) text += ` until ${date(a.until)}; then ${words(a.situation)[a.then]}`;
				else if (a.for && !a.until) text += ` for ${a.for.replace(/(?<=\D)0[ms]/g, '')}; then ${words(a.situation)[a.then]}`;
				return el('tr', holds ? {class: 'now'} : {},
					el('th', {scope: 'row'}, (holds ? 'Now: ' : '') + (situations[a.situation] ?? a.situation)), el('td', {}, text));
			});
			const title = d.chain.map((l) => l.name).join(' → ');
			return el('div', {class: 'policy'},
				el('h3', {}, title),
				el('p', {class: 'quiet'}, `${count(d.directives, 'directive')}${d.mode === 'signal' ? ' in mode signal' : ''}`),
				el('table', {}, el('thead', {}, el('tr', {}, el('th', {scope: 'col'}, 'When'), el('th', {scope: 'col'}, 'What happens'))), el('tbody', {}, ...rows)));
		}) : [el('p', {}, 'No directive has a provider that can be down.')]);
	}

	function drawOutages() {
		const all = last.providers.flatMap((p) => p.outages.map((o) => ({...o, name: nameOf(p)})))
			.sort((a, b) => Date.parse(b.start) - Date.parse(a.start)).slice(0, 100);
		redraw($('outages'), all, () => {
			if (!all.length) return [el('p', {}, 'None since Caddy was started.')];
			const head = ['Provider', 'Began', 'Lasted', 'Diverted', 'Evidence'].map((text) => el('th', {scope: 'col'}, text));
			const rows = all.map((o) => el('tr', {},
				el('th', {scope: 'row'}, o.name), el('td', {class: 'nowrap'}, date(o.start)),
				el('td', {class: 'nowrap'}, o.end ? age(Date.parse(o.end) - Date.parse(o.start)) : el('strong', {class: o.drill ? 'warn' : 'bad'}, 'not over')),
				el('td', {}, String(o.failed_over)), el('td', {class: 'long'}, o.evidence)));
			return [el('div', {class: 'scroll', role: 'group', tabindex: '0', 'aria-label': 'Table of outages'},
				el('table', {}, el('thead', {}, el('tr', {}, ...head)), el('tbody', {}, ...rows)))];
		});
	}

	function drawSummary() {
		const bad = last.providers.filter(inTrouble).map(nameOf);
		const drills = last.providers.filter((p) => p.drill).map(nameOf);
		let text = 'All is well.';
		let tone = 'good';
		if (!last.providers.length) text = 'No provider is called over the network: nothing can be down.';
		if (drills.length) [text, tone] = [`A drill is under way: ${drills.join(', ')}.`, 'warn'];
		if (bad.length) [text, tone] = [`${bad.length} of ${count(last.providers.length, 'provider')} in trouble: ${bad.join(', ')}.`, 'bad'];
		if (!last.store.ok) [text, tone] = [`The store ${last.store.kind} does not answer. ${bad.length ? text : ''}`, 'bad'];
		say($('summary'), text, tone);
		document.title = `${bad.length || !last.store.ok ? '(!) ' : ''}CAPTCHA providers`;
		say($('facts'), `As of ${clock(Date.parse(last.now))}. Watching since ${date(last.started)}. Store: ${last.store.kind || 'none'}.`);
	}

	function draw() {
		drawSummary();
		drawProviders();
		drawPolicies();
		drawOutages();
	}

	function drawAway(why) {
		awaySince ??= Date.now();
		$('away').hidden = false;
		document.body.classList.add('stale');
		say($('away'), `${why} This page is as of ${last ? clock(Date.parse(last.now)) : 'nothing yet'}; no answer since ${clock(awaySince)}.`);
	}

	// reason reads why an answer is none.
	async function reason(response) {
		try {
			return (await response.json()).error;
		} catch {
			return `HTTP ${response.status}`;
		}
	}

	async function poll() {
		clearTimeout(timer);
		try {
			const response = await fetch('status', {signal: AbortSignal.timeout(8000), cache: 'no-store'});
			if (response.ok) {
				last = await response.json();
				skew = Date.parse(last.now) - Date.now();
				awaySince = null;
				$('away').hidden = true;
				document.body.classList.remove('stale');
				draw();
			} else {
				drawAway(`Caddy's admin API does not answer: ${await reason(response)}.`);
			}
		} catch {
			drawAway('The command that serves this page has ended; run caddy captcha status --serve again.');
		}
		clearTimeout(timer);
		timer = setTimeout(poll, every);
	}

	let chosen = ''; // the provider that the dialog is about

	function press(id) {
		const p = last.providers.find((one) => one.id === id);
		if (p.drill) {
			send(id, '');
			return;
		}
		chosen = id;
		$('dialog-title').textContent = `Let ${nameOf(p)} count as down?`;
		$('dialog').returnValue = '';
		$('dialog').showModal();
	}

	async function send(provider, lasts) {
		const {button} = cards.get(provider);
		try {
			const response = await fetch('drill', {
				method: 'POST', headers: {'Content-Type': 'application/json', 'Drill-Token': token},
				body: JSON.stringify({provider, for: lasts}), signal: AbortSignal.timeout(8000),
			});
			if (!response.ok) throw new Error(await reason(response));
			say($('failed'), '');
			await poll();
		} catch (error) {
			say($('failed'), `That did not work: ${error.message}.`);
		}
		$('failed').hidden = !$('failed').textContent;
		button.focus();
	}

	$('dialog').addEventListener('close', () => {
		if ($('dialog').returnValue === 'begin') send(chosen, $('lasts').value);
	});
	document.addEventListener('visibilitychange', () => {
		if (!document.hidden) poll();
	});
	poll();
})();
