# docker build -t walpost .
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --workspaces=false --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY src ./src
RUN npx tsc -b && find dist -name '*.tsbuildinfo' -delete

# The optional packages are an embedded Postgres for `walpost demo`; a container has no use for it.
FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --workspaces=false --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

# The clients that an installation outside a container adds when it needs them. Imports of /app find them in /node_modules.
FROM node:24-bookworm-slim AS clients
WORKDIR /clients
COPY .npmrc deploy/clients/package.json deploy/clients/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
ENV NODE_ENV=production WALPOST_CONFIG=/etc/walpost/walpost.yaml
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY --from=clients /clients/node_modules /node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
COPY sql ./sql
# Errors and warnings point to these pages.
COPY docs/*.md ./docs/
COPY docs/sinks/*.md ./docs/sinks/
COPY docs/guides/*.md ./docs/guides/
USER node
EXPOSE 9464
# Follows WALPOST__HTTP__PORT; a port that only walpost.yaml names needs a health check of its own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.WALPOST__HTTP__PORT || 9464}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Bounds the young generation (src/cli/heap-growth.ts): Node 24 would let it grow to 134 MB in a backlog.
ENTRYPOINT ["node", "--max-semi-space-size=8", "/app/dist/src/main.js"]
CMD ["run"]
