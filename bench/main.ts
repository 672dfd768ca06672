/**
 * @file `npm run bench -- NAME`: runs one benchmark; without a name, lists them.
 */
const benchmarks = ['kernels', 'training'];

const [name] = process.argv.slice(2);
if (name !== undefined && benchmarks.includes(name)) {
  await import(`./${name}.ts`);
} else {
  console.log(`benchmarks: ${benchmarks.map((each) => `npm run bench -- ${each}`).join(', ')}`);
  process.exitCode = name === undefined ? 0 : 2;
}
