// The corpus: pages in the structure of real applications, and what is true of
// each. The app serves them under /corpus/, byte by byte as they are in their
// files, but with its own origin in the place of https://corpus.example.
import {readFileSync} from 'node:fs';
import {html} from './upstream.mjs';

const read = (name) => readFileSync(new URL('../corpus/' + name, import.meta.url));

// What is known of a page, by its name:
//   type       its Content-Type; default: text/html; charset=utf-8
//   headers    more of the answer's headers: name -> lines
//   forms      selectors of the forms that get our fields while the page passes through
//   later      selectors of those that only the script sees
//   fetches    selectors of those that the page itself sends with fetch
//   others     selectors of those that must stay as they are
//   buttons    form -> the button to press, where it is not the first
//   outside    form -> what is sent of fields that stand in front of the form
//   frame      the frame that the forms' answer is shown in
//   byScript   its buttons are pressed by a script: its names would confuse Playwright
//   untouched  the page passes as it came
export const pages = JSON.parse(read('pages.json'));

// sites is the same app twice: as it is, and with forms that are ready to be sent.
export const sites = `
https://plain.test:{https} {
	tls internal
	reverse_proxy {app}
}
https://site.test:{https} {
	tls internal
	captcha {
		provider pow {
			difficulty 1000
		}
	}
	captcha_inject
	reverse_proxy {app}
}`;

const origin = (seen) => 'https://' + seen.headers.host;

// serve gives the app the pages, and what they refer to.
export function serve(app) {
  for (const [name, {type = 'text/html; charset=utf-8', headers = {}}] of Object.entries(pages)) {
    const file = read(name + '.html').toString('latin1');
    app.pages['/corpus/' + name] = (seen, res) => {
      if (seen.method !== 'GET') return void res.writeHead(200, {'Content-Type': 'text/html'}).end('<!doctype html><h1 id="received">received</h1>');
      res.writeHead(200, {'Content-Type': type, ...headers});
      res.end(Buffer.from(file.replaceAll('https://corpus.example', origin(seen)), 'latin1'));
    };
  }
  app.pages['/static/frame.html'] = html('<p>a frame</p>');
}

// huge makes a page of some 2 MB, with a form in its middle and one at its end.
export function huge() {
  const words = 'some text &amp; more of it, '.repeat(6);
  const rows = (n) => Array.from({length: n}, (_, i) => `<tr class="row"><td>${i}</td><td title="a > b">${words}<b>bold</b></td></tr>\n`).join('');
  const form = (id) => `<form id="${id}" method="post" action="/huge/${id}"><input name="a"><button>Send</button></form>`;
  const part = (n) => `<table>${rows(n)}</table>\n<!-- ${'<form method="post"> '.repeat(5000)} -->\n`;
  return html(`${part(4000)}${form('middle')}<div data-x="${'x>y '.repeat(5000)}"></div>
<script>window.big = "${'</form> '.repeat(20_000)}";</script>${part(4000)}${form('end')}`);
}

// generated makes pages of tags that come as they like, with a form that posts in
// each: always the same ones.
export function generated(count) {
  const tags = ['<p>', '</p>', '<b>', '</b>', '<a href=x>', '</a>', '<font>', '</font>', '<i>', 'text', ' ', '<br>', '<!-- c -->', '<hr>', '<li>', '<dd>', '<h1>',
    '<div>', '</div>', '<table>', '</table>', '<tr>', '<td>', '</td>', '<tbody>', '<caption>', '<colgroup>', '<ul>', '</ul>', '<object>', '</object>', '<button>', '</button>',
    '<select>', '</select>', '<option>', '<label>', '<fieldset>', '<svg>', '</svg>', '<foreignObject>', '<desc>', '<title>', '</title>', '<math>', '</math>', '<mi>', '<![CDATA[', ']]>',
    '<template>', '</template>', '<script>1</script>', '<style>', '</style>', '<textarea>', '</textarea>', '<xmp>', '</xmp>', '<head>', '</head>', '<body>', '</body>', '<html>', '<center>', '</center>',
    '</form>', '<form method=get>', '<input name=x>', '<pre>', '<ruby>', '<rt>', '<applet>', '<image>', '<frameset>', '<iframe>', '</iframe>', '<details>', '<dialog>', '<nobr>', '<em>', '</em>'];
  let state = 1;
  const below = (n) => (state = state * 48271 % 0x7fffffff) % n; // Lehmer's generator
  return Array.from({length: count}, () => {
    const page = Array.from({length: 3 + below(14)}, () => tags[below(tags.length)]);
    page.splice(below(page.length), 0, '<form method=post action=/a>');
    return (below(2) ? '<!doctype html><html><head><title>x</title></head><body>' : '') + page.join('');
  });
}

// snapshot runs in a page. It writes its document down, without what was
// injected: every node, attribute and shadow root, and which form each field
// belongs to. The getters are taken from where no field's name hides them.
export function snapshot(document = window.document) {
  const getter = (prototype, name) => {
    const {get} = Object.getOwnPropertyDescriptor(prototype, name);
    return (node) => get.call(node);
  };
  const [childNodes, nodeName] = ['childNodes', 'nodeName'].map((name) => getter(Node.prototype, name));
  const [attributes, shadowRoot] = ['attributes', 'shadowRoot'].map((name) => getter(Element.prototype, name));
  const owner = (node) => node.form && attributes(node.form).getNamedItem('id')?.value;
  const lines = [document.compatMode, document.characterSet, document.title];
  const out = (depth, text) => lines.push(' '.repeat(depth) + text.replaceAll(location.origin, 'https://corpus.example'));

  function walk(node, depth) {
    let text = '';
    const flush = () => { if (text) out(depth, JSON.stringify(text)); text = ''; };
    for (const child of childNodes(node)) {
      if (child.nodeType === Node.TEXT_NODE) {
        text += child.data;
        continue;
      }
      if (child.nodeType === Node.ELEMENT_NODE && Element.prototype.hasAttribute.call(child, 'data-captcha-inject')) continue;
      flush();
      element(child, depth);
    }
    flush();
  }

  function element(node, depth) {
    if (node.nodeType !== Node.ELEMENT_NODE) return out(depth, `${nodeName(node)} ${JSON.stringify(node.data ?? node.publicId)}`);
    const policy = nodeName(node) === 'META' && /^content-security-policy$/i.test(node.httpEquiv); // it is extended
    const list = [...attributes(node)].filter(({name}) => !policy || name !== 'content').map(({name, value}) => ` ${name}=${JSON.stringify(value)}`).join('');
    const of = ['INPUT', 'BUTTON', 'SELECT', 'TEXTAREA'].includes(nodeName(node)) ? ` of ${owner(node)}` : '';
    out(depth, `<${nodeName(node)} ${node.namespaceURI.slice(-4)}${list}>${of}`);
    walk(node, depth + 1);
    if (nodeName(node) === 'TEMPLATE') walk(node.content, depth + 2);
    if (shadowRoot(node)) walk(shadowRoot(node), depth + 3);
  }

  walk(document, 0);
  return lines.join('\n');
}
