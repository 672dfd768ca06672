// Copies what tsc leaves behind (data files beside the modules) from src/ to dist/.
import { cpSync } from 'node:fs';

cpSync('src', 'dist', {
  recursive: true,
  filter: (path) => !/\.tsx?$/.test(path),
});
