// Shim for scripts/app.ts
export const app = window.comfyAPI?.app?.app;
