"""Ask a model about a picture: python examples/images.py MODEL MMPROJ PICTURE [QUESTION]

Models that see come as two files: the model, and a projector whose name begins with mmproj.
"""

import sys
from pathlib import Path

from llamaherd import Llama

if len(sys.argv) < 4:
    print(__doc__)
    sys.exit()

model, mmproj, picture = sys.argv[1:4]
question = sys.argv[4] if len(sys.argv) > 4 else "What is in this picture?"
content = [
    {"type": "image", "image": Path(picture)},  # or OpenAI's image_url with a data: URL
    {"type": "text", "text": question},
]
with Llama(model, mmproj=mmproj) as llm:
    chunks = llm.create_chat_completion(
        [{"role": "user", "content": content}], stream=True, max_tokens=200
    )
    for chunk in chunks:
        print(chunk["choices"][0]["delta"].get("content") or "", end="", flush=True)
print()
