/**
 * @file Serves the example beside it, with the headers that let a page use several threads. In a clone, after `npm ci`:
 *
 *     node examples/browser/serve.mjs [PORT]
 */
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const types = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
};
// Nothing but the example, the library and what it imports.
const served = /^\/(examples\/browser|dist|node_modules\/zod)\//;

const server = createServer((request, response) => {
  const [pathname] = (request.url ?? '/').split('?');
  const path = normalize(pathname === '/' ? '/examples/browser/index.html' : pathname);
  const file = join(root, path);
  const found = served.test(path) && existsSync(file) && statSync(file).isFile();
  response.writeHead(found ? 200 : 404, {
    'Content-Type': types[extname(file)] ?? 'text/plain',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
  });
  if (found) createReadStream(file).pipe(response);
  else response.end('not found');
});
const port = Number(process.argv[2] ?? 8080);
if (!Number.isInteger(port) || port < 0 || port > 65_535)
  stop(`port ${process.argv[2]} is not a number from 0 to 65535`);
server.on('error', (error) =>
  stop(`port ${port}: ${error.code === 'EADDRINUSE' ? 'in use; give another one' : error.message}`),
);
server.listen(port, '127.0.0.1', () => console.log(`open http://127.0.0.1:${server.address().port}/`));

function stop(message) {
  console.error(`error: ${message}`);
  process.exit(2);
}
