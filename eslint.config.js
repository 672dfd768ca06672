import js from '@eslint/js';
import tseslint from 'typescript-eslint';

// The floors of the house, from the ground up; a module may import from its own floor and from those listed for it.
const floors = [
  'base',
  'hardware',
  'tensor',
  'data',
  'nn',
  'operators',
  'spaces',
  'conversion',
  'training',
  'supernet',
  'proxies',
  'search',
  'pipeline',
  'report',
  'cli',
];
const only = {
  base: [],
  hardware: ['base'],
  tensor: ['base'],
  data: ['base', 'tensor'],
  // Beside `conversion`, not above it.
  training: ['base', 'hardware', 'tensor', 'data', 'nn', 'operators', 'spaces'],
  // Of untrained networks.
  proxies: ['base', 'hardware', 'tensor', 'nn', 'operators', 'spaces'],
};

const importRules = floors.map((floor, height) => {
  const allowed = only[floor] ?? floors.slice(0, height);
  const forbidden = floors.filter((other) => other !== floor && !allowed.includes(other));
  return {
    files: [`src/${floor}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: forbidden.map((other) => ({
            regex: `^(\\.\\./)+${other}/`,
            message: `'${floor}' stands below or beside '${other}': imports go down the floors only (CONTRIBUTING.md)`,
          })),
        },
      ],
      'no-restricted-syntax': [
        'error',
        ...forbidden.map((other) => ({
          selector: `ImportExpression > Literal[value=/^([.][.][/])+${other}[/]/]`,
          message: `'${floor}' stands below or beside '${other}': imports go down the floors only (CONTRIBUTING.md)`,
        })),
      ],
    },
  };
});

export default tseslint.config(
  { ignores: ['dist', 'build', 'node_modules', 'runs', 'coverage'] },
  js.configs.recommended,
  ...tseslint.configs.strict,
  {
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-extraneous-class': 'off',
      'no-restricted-exports': [
        'error',
        {
          restrictDefaultExports: {
            direct: true,
            named: true,
            defaultFrom: true,
            namedFrom: true,
            namespaceFrom: true,
          },
        },
      ],
      'max-lines': ['warn', { max: 450, skipBlankLines: true, skipComments: true }],
    },
  },
  {
    files: ['*.config.*', 'scripts/**', 'examples/**/*.mjs'],
    rules: { 'no-restricted-exports': 'off' },
    languageOptions: {
      globals: {
        Buffer: 'readonly',
        console: 'readonly',
        process: 'readonly',
        setImmediate: 'readonly',
        URL: 'readonly',
        WebAssembly: 'readonly',
      },
    },
  },
  ...importRules,
);
