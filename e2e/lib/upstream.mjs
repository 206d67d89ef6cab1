// The app behind the edge. It serves the pages that a test gives it, and keeps
// every request as it came: header lines and body, byte by byte.
import {once} from 'node:events';
import {createServer} from 'node:http';

// How long to wait for something that must happen.
export const PATIENCE = 20_000;

export async function startUpstream() {
  const app = {
    pages: {}, // path -> HTML, or a function of (request, response)
    seen: [], // all requests
    // posts are those that are not GET or the like.
    get posts() { return this.seen.filter((r) => !['GET', 'HEAD', 'OPTIONS'].includes(r.method)); },
    reset() { this.seen = []; },

    // arrivals waits until n posts have arrived, and returns them all.
    async arrivals(n = 1) {
      const timeout = AbortSignal.timeout(PATIENCE);
      while (this.posts.length < n) {
        try {
          await once(server, 'recorded', {signal: timeout});
        } catch {
          throw new Error(`${this.posts.length} posts arrived in ${PATIENCE} ms, not ${n}`);
        }
      }
      return this.posts;
    },
    // one waits for the only post.
    async one() {
      const posts = await this.arrivals(1);
      if (posts.length > 1) throw new Error(`${posts.length} posts arrived, not 1`);
      return posts[0];
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };

  const server = createServer(async (req, res) => {
    const chunks = [];
    try {
      for await (const chunk of req) chunks.push(chunk);
    } catch {
      return; // broken off by the edge: it has not arrived
    }
    const seen = {
      method: req.method, url: req.url, headers: req.headers, lines: req.rawHeaders,
      body: Buffer.concat(chunks), trailers: req.rawTrailers, at: Date.now(),
    };
    app.seen.push(seen);
    server.emit('recorded');
    const page = app.pages[req.url.split('?')[0]];
    if (typeof page === 'function') return void page(seen, res);
    const html = page ?? (seen.method === 'GET' ? undefined : receipt(seen));
    res.writeHead(html === undefined ? 404 : 200, {'Content-Type': 'text/html; charset=utf-8'});
    res.end(html ?? 'not here');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  app.port = server.address().port;
  app.address = `127.0.0.1:${app.port}`;
  return app;
}

// receipt is the page that answers a post.
export const receipt = (seen) => `<!doctype html><html lang="en"><title>received</title>
<h1 id="received">${seen.body.length} bytes received</h1>`;

// html is a page of the app.
export const html = (body, head = '') => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>the app</title>${head}</head>
<body>${body}</body></html>`;
