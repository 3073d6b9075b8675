#!/bin/sh
# Run tests with other versions of a client library, each in a virtual environment of its own.
#
#     tests/compat/run.sh openai-1 openai-2 openai-3 google-1 transformers-4 lmms_eval-0 litellm-1 \
#         ray-2 frameworks-1
#
# With --make before the names the environments are made and nothing is run.
#
# A name is a requirements file beside this script; what is before its hyphen says which tests.
# NAME-bare.txt lists what is installed without dependencies. Environments are kept in .compat/ and
# made anew when their file has changed.
set -eu
made_only=
if [ "${1-}" = --make ]; then made_only=yes; shift; fi
cd "$(dirname "$0")/../.."
mkdir -p .compat
echo '*' > .compat/.gitignore
for name in "$@"; do
    requirements=tests/compat/$name.txt
    bare=tests/compat/$name-bare.txt
    environment=.compat/$name
    case $name in
        # Between the ends of the range: what a release may call otherwise is its surface.
        openai-2) tests="tests/clients/test_surfaces.py tests/clients/test_openai_client.py" ;;
        openai-*) tests=tests/clients ;;
        google-*) tests=tests/clients/test_google_client.py ;;
        transformers-*) tests=tests/pipeline ;;
        litellm-*) tests=tests/litellm_proxy ;;
        ray-*) tests=tests/ray_data ;;
        frameworks-*) tests=tests/clients/test_frameworks.py ;;
        lmms_eval-*) tests=tests/harness ;;
        *) echo "unknown environment $name: see tests/compat/" >&2; exit 2 ;;
    esac
    if [ ! -e "$bare" ]; then bare=/dev/null; fi
    if ! cat "$requirements" "$bare" | cmp -s - "$environment/requirements.txt"; then
        rm -rf "$environment"
        "${PYTHON:-python3}" -m venv "$environment"
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
            -r "$requirements"
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
            --no-deps -r "$bare"
        cat "$requirements" "$bare" > "$environment/requirements.txt"
    fi
    if [ -n "$made_only" ]; then continue; fi
    echo "== $("$environment/bin/python" -m pip freeze | grep -E "^${name%-*}==")"
    # `-m pytest` puts the repository on the path; -rs names every test that is skipped and why.
    "$environment/bin/python" -m pytest -rs $tests
done
