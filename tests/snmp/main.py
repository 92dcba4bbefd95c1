# Runs the trap script for each input, as the framework does for each request. It must run under MicroPython. Output
# lines that begin with a colon are answers; the others are console output of the script.
import json

import k8s_services_traps

with open("inputs.json") as file:
    inputs = json.loads(file.read())
for text in inputs:
    print(":" + k8s_services_traps.snmp_main(text))
