{
  # The native engine: kernels.c once per instruction set, chosen at run time, and the Node-API addon around them.
  # How to build with AddressSanitizer and run the tests on it: native/README.md.
  "variables": {
    "kernel_flags": ["-std=gnu11", "-O3", "-fno-math-errno", "-ffp-contract=fast", "-fvisibility=hidden", "-fPIC", "-Wall", "-Wextra"],
    "sanitize%": "0"
  },
  "target_defaults": {
    "include_dirs": ["native"],
    "cflags": ["<@(kernel_flags)"],
    "xcode_settings": { "OTHER_CFLAGS": ["<@(kernel_flags)"] },
    "conditions": [
      ["sanitize==1", { "cflags": ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1"], "ldflags": ["-fsanitize=address,undefined"] }]
    ]
  },
  "targets": [
    {
      "target_name": "shiftaddnas",
      "sources": ["native/addon.c", "native/ops.c", "native/pool.c"],
      "conditions": [
        ["target_arch=='x64'", { "dependencies": ["kernels_avx512", "kernels_avx2", "kernels_sse4"] }, { "dependencies": ["kernels_generic"] }],
        ["OS=='linux'", { "ldflags": ["-Wl,-z,nodelete"] }]
      ]
    }
  ],
  "conditions": [
    ["target_arch=='x64'", {
      "targets": [
        {
          "target_name": "kernels_avx512",
          "type": "static_library",
          "sources": ["native/kernels.c"],
          "defines": ["SA_AVX512"],
          "cflags": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"],
          "xcode_settings": { "OTHER_CFLAGS": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"] }
        },
        {
          "target_name": "kernels_avx2",
          "type": "static_library",
          "sources": ["native/kernels.c"],
          "defines": ["SA_AVX2"],
          "cflags": ["-mavx2", "-mfma"],
          "xcode_settings": { "OTHER_CFLAGS": ["-mavx2", "-mfma"] }
        },
        {
          "target_name": "kernels_sse4",
          "type": "static_library",
          "sources": ["native/kernels.c"],
          "defines": ["SA_SSE4"],
          "cflags": ["-msse4.1"],
          "xcode_settings": { "OTHER_CFLAGS": ["-msse4.1"] }
        }
      ]
    }, {
      "targets": [
        { "target_name": "kernels_generic", "type": "static_library", "sources": ["native/kernels.c"] }
      ]
    }]
  ]
}
