/**
 * @file `npm run bench -- NAME [OPTIONS]`: runs one benchmark; without a name, lists them.
 */
const benchmarks: Readonly<Record<string, () => Promise<unknown>>> = {
  engine: () => import('./engine/main.js'),
  'search-loop': () => import('./search-loop.js'),
  hardware: () => import('./hardware.js'),
  memory: () => import('./memory.js'),
  training: () => import('./training.js'),
};

const [name] = process.argv.slice(2);
const benchmark = name === undefined ? undefined : benchmarks[name];
if (benchmark !== undefined) {
  // The benchmark reads its options where a program expects them.
  process.argv.splice(2, 1);
  await benchmark();
} else {
  const known = Object.keys(benchmarks).map((each) => `npm run bench -- ${each}`);
  if (name === undefined) console.log(`benchmarks: ${known.join(', ')}`);
  else console.error(`error: no benchmark is called ${name}; there are ${known.join(', ')}`);
  process.exitCode = name === undefined ? 0 : 2;
}
