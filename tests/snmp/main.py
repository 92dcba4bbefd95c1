# Runs the trap script for each input, as the framework does for each request. Runs under MicroPython.
# Lines with a colon in front are the answers, the others the script's console.
import json

import k8s_services_traps

with open("inputs.json") as file:
    inputs = json.loads(file.read())
for text in inputs:
    print(":" + k8s_services_traps.snmp_main(text))
