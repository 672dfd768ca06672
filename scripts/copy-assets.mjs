// After tsc: copies what it leaves behind (data files beside the modules) from src/ to dist/, and makes the command executable.
import { chmodSync, cpSync } from 'node:fs';

cpSync('src', 'dist', {
  recursive: true,
  filter: (path) => !/\.tsx?$/.test(path),
});
chmodSync('dist/cli/main.js', 0o755);
