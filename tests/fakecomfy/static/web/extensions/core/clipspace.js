// Shim for extensions/core/clipspace.ts
