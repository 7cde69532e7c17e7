#!/bin/sh
# Chat, whole and streamed, with nothing but curl.
# OPENAI_BASE_URL=http://localhost:8787/v1 OPENAI_API_KEY=gw_live_… sh examples/curl.sh
set -eu

ask() {
    curl -sS --fail-with-body -N "$OPENAI_BASE_URL/chat/completions" \
        -H "authorization: Bearer $OPENAI_API_KEY" \
        -H "content-type: application/json" \
        -d "{\"model\": \"${MODEL:-simulator/echo}\", \"stream\": $1,
             \"messages\": [{\"role\": \"user\", \"content\": \"Hello there\"}]}"
    echo
}

ask false
ask true

# What it cost, and what is left.
curl -sS --fail-with-body "$OPENAI_BASE_URL/usage" -H "authorization: Bearer $OPENAI_API_KEY"
